package monitoring

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"code.dny.dev/ssrf"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// webhookTimeout bounds an attempt, from the look-up of its host's name on.
const webhookTimeout = 5 * time.Second

// public refuses every address that IANA's registries keep for other uses than the
// Internet's, and IPv6 addresses that lead to such IPv4 ones.
var public = ssrf.New(ssrf.WithAnyPort())

// webhookClient makes connections only where it may: the check comes when a name has
// been resolved, at the very address that is connected to. A redirect is an answer like
// any other, and no proxy of the environment stands in between.
func webhookClient(private bool) *http.Client {
	dialer := &net.Dialer{}
	if !private {
		dialer.Control = public.Safe
	}
	return &http.Client{
		Timeout:       webhookTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, DisableKeepAlives: true, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
		},
	}
}

// post makes one attempt and gives why it failed, in words of its own, or "".
func (a *Alerts) post(ctx context.Context, d db.AlertDeliveryTakeRow) (failure string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.Webhook, strings.NewReader(d.Body))
	if err != nil {
		return "not a URL"
	}
	id, at := d.ID.String(), strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "relaystore")
	req.Header.Set("Idempotency-Key", id)
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", at)
	req.Header.Set("Webhook-Signature", sign(a.Secret, id, at, d.Body))
	answer, err := a.client.Do(req)
	if err != nil {
		return reason(err)
	}
	_ = answer.Body.Close() // what it says is not read
	if answer.StatusCode/100 != 2 {
		return fmt.Sprintf("status %d", answer.StatusCode)
	}
	return ""
}

// sign is version 1 of standardwebhooks.com.
func sign(secret []byte, id, at, body string) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + at + "." + body))
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// reason never gives the error's own text, which holds the URL.
func reason(err error) string {
	var timeout net.Error
	var name *net.DNSError
	switch {
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedNetwork), errors.Is(err, ssrf.ErrInvalidHostPort):
		return "address not allowed"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.As(err, &name):
		return "host not found"
	}
	return "unreachable"
}

// Bounds of a webhook secret in bytes, as standardwebhooks.com has them.
const (
	minSecret = 24
	maxSecret = 64
)

// ParseAlertSecret reads a secret: 24 to 64 random bytes in base64, with or without
// "whsec_" before them. The error does not hold it.
func ParseAlertSecret(text string) ([]byte, error) {
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
	if err != nil || len(secret) < minSecret || len(secret) > maxSecret {
		return nil, result.New(result.InvalidQuery, "must be %d to %d bytes in base64, as openssl rand -base64 32 makes them", minSecret, maxSecret)
	}
	return secret, nil
}
