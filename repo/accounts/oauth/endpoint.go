package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Endpoint is where and as whom a platform's tokens are refreshed. It prints as
// "[redacted]".
type Endpoint struct {
	// TokenURL is https://; http:// is for a loopback address.
	TokenURL string `json:"tokenUrl"`
	ClientID string `json:"clientId"`
	// ClientSecret is empty for public clients.
	ClientSecret string `json:"clientSecret,omitempty"`
	// JSON sends the parameters as a JSON object in place of a form.
	JSON bool `json:"json,omitempty"`
	// UserAgent is Go's where it is empty.
	UserAgent string `json:"userAgent,omitempty"`
}

// Endpoints are by platform, such as "claude", or by platform and the account's
// details.oauthProvider, such as "gemini/antigravity", which goes first.
type Endpoints map[string]Endpoint

// Parse reads Endpoints from a JSON object. The text is in no error.
func Parse(text string) (Endpoints, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, errors.New("not a JSON object of endpoints")
	}
	all := make(Endpoints, len(raw))
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		var e Endpoint
		if err := result.DecodeStrict(raw[name], &e, "tokenUrl", "clientId"); err != nil {
			return nil, errors.New(name + ": " + result.From(err).Message)
		}
		all[name] = e
	}
	return all, nil
}

const maxText = 4096

func (e Endpoint) check(name string) error {
	platform, _, _ := strings.Cut(name, "/")
	if !slices.Contains(accounts.Platforms, platform) {
		return result.Invalid(name, "must begin with one of %s", strings.Join(accounts.Platforms, ", "))
	}
	u, err := url.Parse(e.TokenURL)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return result.Invalid(name+".tokenUrl", "must be an https:// URL, or http:// on a loopback address")
	}
	if e.ClientID == "" {
		return result.Invalid(name+".clientId", "required")
	}
	for _, t := range []struct{ field, text string }{
		{"tokenUrl", e.TokenURL}, {"clientId", e.ClientID}, {"clientSecret", e.ClientSecret}, {"userAgent", e.UserAgent},
	} {
		if len(t.text) > maxText || strings.ContainsFunc(t.text, func(r rune) bool { return r < ' ' || r > '~' }) {
			return result.Invalid(name+"."+t.field, "longer than %d characters, or not printable ASCII", maxText)
		}
	}
	return nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// Format prints "[redacted]" for every verb.
func (Endpoint) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[redacted]") }

// LogValue logs "[redacted]".
func (Endpoint) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// LogValue logs "[redacted]": a handler that writes JSON asks no element of a map.
func (Endpoints) LogValue() slog.Value { return slog.StringValue("[redacted]") }
