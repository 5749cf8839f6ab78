package oauth

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Refresher is an accounts.TokenRefresher. It is safe for concurrent use.
type Refresher struct {
	endpoints Endpoints
	tune      func(*http.Transport) // of tests
}

var _ accounts.TokenRefresher = (*Refresher)(nil)

// New makes a Refresher. A wrong endpoint is InvalidQuery and names its member.
func New(endpoints Endpoints) (*Refresher, error) {
	if len(endpoints) == 0 {
		return nil, result.Invalid("endpoints", "required")
	}
	for _, name := range slices.Sorted(maps.Keys(endpoints)) { // the same refusal each time
		if err := endpoints[name].check(name); err != nil {
			return nil, err
		}
	}
	return &Refresher{endpoints: maps.Clone(endpoints)}, nil
}

// Refresh asks the endpoint of the account's platform. An account without a proxy
// takes the one of the environment (HTTPS_PROXY), if any. At most 1 MiB of an answer
// is read. A platform without an endpoint is Refused with the reason no_endpoint.
func (r *Refresher) Refresh(ctx context.Context, req accounts.RefreshRequest) (accounts.Tokens, error) {
	e, known := r.endpoints[req.Platform+"/"+req.Details.OAuthProvider]
	if !known {
		e, known = r.endpoints[req.Platform]
	}
	if !known {
		return accounts.Tokens{}, &accounts.RefreshError{Kind: accounts.RefreshRefused, Reason: "no_endpoint", NotSent: true}
	}
	transport := newTransport(req.Proxy)
	if r.tune != nil {
		r.tune(transport)
	}
	once := &exchange{endpoint: e, next: transport}
	client := &http.Client{Transport: once, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ctx = context.WithValue(once.traced(ctx), oauth2.HTTPClient, client)
	config := oauth2.Config{
		ClientID: e.ClientID, ClientSecret: e.ClientSecret,
		Endpoint: oauth2.Endpoint{TokenURL: e.TokenURL, AuthStyle: oauth2.AuthStyleInParams}, // detecting the style sends the token twice
	}
	t, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: req.RefreshToken}).Token()
	if err != nil {
		return accounts.Tokens{}, once.failure(ctx, err)
	}
	scopes, _ := t.Extra("scope").(string)
	return accounts.Tokens{AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, ExpiresAt: t.Expiry, Scopes: strings.Fields(scopes)}, nil
}

// newTransport makes connections for one request: accounts share none.
func newTransport(p *accounts.ProxyConfig) *http.Transport {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true}
	if p != nil {
		t.Proxy = http.ProxyURL(p.URL())
	}
	return t
}

// traced notes whether there was a connection to send the token on.
func (x *exchange) traced(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { x.connected.Store(true) }})
}
