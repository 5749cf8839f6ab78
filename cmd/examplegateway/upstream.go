package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/seed14a526e0/relaystore/repo/accounts"
)

const (
	maxTries      = 3                // accounts that a request tries
	refreshBefore = 30 * time.Second // a token that ends during the call is no use
)

// call sends the request with the best account that takes it. No use is noted on the account:
// that call sets its status, too, and would undo what an operator sets at the same time.
func (g *gateway) call(ctx context.Context, header http.Header, body []byte, x *exchange) (*http.Response, *refusal) {
	available, err := g.client.Accounts.GetAvailableAccounts(ctx, accounts.AvailableFilters{RateLimitAvailable: new(true), Limit: maxTries}).Get()
	if err != nil {
		g.warn("no account could be looked up", err)
		return nil, unavailable
	}
	for _, account := range available {
		c, err := g.credentials(ctx, account.ID)
		if err != nil || !c.IsActive {
			g.warn("an account could not be used", err) // the next one's turn, and no client's concern
			continue
		}
		answer, err := g.send(ctx, header, body, c)
		if err != nil { // it may have been heard: another try could be paid for twice
			return nil, upstreamDown
		}
		x.accountID = account.ID
		switch status := answer.StatusCode; {
		case status == http.StatusTooManyRequests:
			g.limited(ctx, account.ID, answer.Header)
		case status != http.StatusUnauthorized && status != http.StatusForbidden && status < 500:
			return answer, nil
		default: // a client would take it for trouble of its own
			_ = answer.Body.Close()
			return nil, upstreamDown
		}
		_ = answer.Body.Close()
	}
	return nil, noAccount
}

// credentials have a token that is good for the call. Whoever finds it expired refreshes it
// for all gateways: the provider is asked once.
func (g *gateway) credentials(ctx context.Context, accountID string) (accounts.Credentials, error) {
	c, err := g.client.Accounts.GetCredentials(ctx, accountID).Get()
	if err != nil || !c.IsActive || c.ExpiresAt.IsZero() || time.Until(c.ExpiresAt) > refreshBefore {
		return c, err
	}
	fresh, err := g.client.Accounts.RefreshOAuthToken(ctx, accountID).Get()
	c.AccessToken = fresh.AccessToken
	return c, err
}

// limited puts an account away for as long as the provider says.
func (g *gateway) limited(ctx context.Context, accountID string, header http.Header) {
	wait, err := time.ParseDuration(header.Get("Retry-After") + "s")
	if err != nil || wait <= 0 || wait > 7*24*time.Hour {
		wait = time.Minute
	}
	until := accounts.StatusMetadata{RateLimitResetAt: time.Now().Add(wait)}
	if err := g.client.Accounts.UpdateAccountStatus(context.WithoutCancel(ctx), accountID, accounts.RateLimited, until).Err(); err != nil {
		g.warn("an account's limit could not be noted", err)
	}
}

type proxyKey struct{}

func (g *gateway) send(ctx context.Context, header http.Header, body []byte, c accounts.Credentials) (*http.Response, error) {
	ctx = context.WithValue(ctx, proxyKey{}, c.ProxyConfig)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.upstream+"/v1/messages", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"Content-Type", "Anthropic-Version", "Anthropic-Beta"} {
		req.Header[name] = header[name]
	}
	if c.AccessToken != "" {
		req.Header.Set("Authorization", "Bearer "+c.AccessToken)
	} else {
		req.Header.Set("X-Api-Key", c.APIKey)
	}
	return g.http.Do(req)
}

// proxyOf leads each account's calls through its own proxy; a provider on this machine
// needs none.
func proxyOf(r *http.Request) (*url.URL, error) {
	p, _ := r.Context().Value(proxyKey{}).(*accounts.ProxyConfig)
	if p == nil || strings.HasPrefix(r.URL.Host, "127.0.0.1:") {
		return nil, nil
	}
	u := &url.URL{Scheme: p.Type, Host: net.JoinHostPort(p.Host, strconv.Itoa(p.Port))}
	if p.Username != "" {
		u.User = url.UserPassword(p.Username, p.Password)
	}
	return u, nil
}
