package sessions

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// DefaultMaxSessionData is how many bytes a session's data may have.
const DefaultMaxSessionData = 64 << 10

const (
	maxUserID    = 256
	maxUserAgent = 1024
	minTTL       = time.Millisecond // what a time in JSON tells apart
	maxTTL       = 36500 * 24 * time.Hour
)

// check refuses what is out of bounds, naming the field. What it lets pass, the
// database's own checks let pass, too. limit is in bytes of session data.
func (d *Data) check(limit int) (ip *netip.Addr, err error) {
	if err := checkUserID(d.UserID); err != nil {
		return nil, err
	}
	if d.UserType != Admin && d.UserType != User {
		return nil, result.Invalid("userType", "must be %s or %s", Admin, User)
	}
	if len(d.SessionData) == 0 {
		return nil, result.Invalid("sessionData", "required")
	}
	if err := checkObject("sessionData", d.SessionData, limit); err != nil {
		return nil, err
	}
	if err := checkTTL("ttlSeconds", d.TTL); err != nil {
		return nil, err
	}
	if err := result.CheckText("userAgent", d.UserAgent, maxUserAgent); err != nil {
		return nil, err
	}
	return parseIP(d.IPAddress)
}

func (p *Patch) check(limit int) error {
	if len(p.SessionData) > 0 {
		if err := checkObject("sessionData", p.SessionData, limit); err != nil {
			return err
		}
	}
	return checkTTL("extendTTL", p.ExtendTTL)
}

func checkUserID(id string) error {
	if id == "" {
		return result.Invalid("userId", "required")
	}
	if len(id) > maxUserID {
		return result.Invalid("userId", "longer than %d bytes", maxUserID)
	}
	return result.CheckText("userId", id, maxUserID)
}

// checkTTL lets 0 pass, which is for none.
func checkTTL(field string, ttl time.Duration) error {
	if ttl != 0 && (ttl < minTTL || ttl > maxTTL) {
		return result.Invalid(field, "must lie between %g and %.0f seconds", minTTL.Seconds(), maxTTL.Seconds())
	}
	return nil
}

// parseIP gives nil for "". An IPv4 address in IPv6's clothes, which servers that
// listen on both give, becomes itself.
func parseIP(text string) (*netip.Addr, error) {
	if text == "" {
		return nil, nil
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" {
		return nil, result.Invalid("ipAddress", "not an IP address without a zone")
	}
	ip = ip.Unmap()
	return &ip, nil
}

func checkObject(field string, doc json.RawMessage, limit int) error {
	if string(bytes.TrimSpace(doc)) == "null" {
		return result.Invalid(field, "not a JSON object")
	}
	return result.CheckDocument(field, doc, limit, "{", "object")
}
