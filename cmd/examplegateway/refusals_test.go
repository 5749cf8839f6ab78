package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestBothHeadersAndWhatIsRecorded(t *testing.T) {
	b := setup(t)
	account := b.account(accounts.AccountData{})
	id, key := b.key(apikeys.KeyData{Permissions: "gemini,claude"})
	p := b.start()
	seen := map[string]bool{}
	for header, value := range map[string]string{"X-Api-Key": key, "Authorization": "bearer " + key} {
		for _, body := range []string{hello, streamed} {
			a := p.do(p.request(body, header, value))
			require.Equal(t, http.StatusOK, a.status, a.body)
			require.Contains(t, a.body, "three")
			require.Equal(t, body == streamed, a.header.Get("Content-Type") == "text/event-stream")
			seen[a.header.Get("Request-Id")] = true
		}
	}
	require.Len(t, seen, 4)
	require.Equal(t, ledger{Records: 4, Requests: 4, Input: 12, Output: 12, Total: 24, Cost: "0.000216"}, p.recorded(4))
	var rows int
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM usage_records WHERE api_key_id = $1 AND account_id = $2
		AND account_type = 'claude' AND model = 'claude-sonnet-4-20250514'`, id, account).Scan(&rows))
	require.Equal(t, 4, rows)
	used, err := b.client.Accounts.GetAccount(t.Context(), account).Get()
	require.NoError(t, err)
	require.NotZero(t, used.LastUsedAt)
	require.Equal(t, accounts.Active, used.Status)
	metrics := p.get("/metrics").body
	for _, want := range []string{`examplegateway_requests_total{code="200"} 4`, `relaystore_cache_hits_total{kind="apikey"}`, "go_goroutines ", "process_open_fds "} {
		require.Contains(t, metrics, want)
	}
	require.Equal(t, http.StatusOK, p.get("/healthz").status)
	p.stop(0)
}

func TestRefusals(t *testing.T) {
	b := setup(t)
	_, good := b.key(apikeys.KeyData{})
	_, expired := b.key(apikeys.KeyData{ExpiresAt: time.Now().Add(-time.Second)})
	_, gemini := b.key(apikeys.KeyData{Permissions: "gemini"})
	id, disabled := b.key(apikeys.KeyData{})
	require.NoError(t, b.client.APIKeys.UpdateAPIKey(t.Context(), id, apikeys.Patch{IsActive: result.Set(false)}).Err())
	p := b.start()
	none := p.post(hello, good)
	p.requireRefused(none, http.StatusTooManyRequests, "rate_limit_error")
	require.Equal(t, "15", none.header.Get("Retry-After"))
	b.account(accounts.AccountData{})
	for _, key := range []string{"", "unknown", expired, disabled, good + "x"} {
		p.requireRefused(p.post(hello, key), http.StatusUnauthorized, "authentication_error")
		p.requireRefused(p.do(p.request(hello, "Authorization", "Bearer "+key)), http.StatusUnauthorized, "authentication_error")
	}
	p.requireRefused(p.do(p.request(hello, "Authorization", "Basic "+good)), http.StatusUnauthorized, "authentication_error")
	p.requireRefused(p.post(hello, gemini), http.StatusForbidden, "permission_error")
	for _, body := range []string{"", "{", `[]`, `{}`, `{"model":""}`, `{"model":7}`, `{"model":null}`, `{"model":"\u0000"}`, `{"model":"` + strings.Repeat("m", 256) + `"}`} {
		p.requireRefused(p.post(body, good), http.StatusBadRequest, "invalid_request_error")
	}
	p.requireRefused(p.post(`{"model":"`+strings.Repeat("m", maxBody)+`"}`, good), http.StatusRequestEntityTooLarge, "request_too_large")
	require.Equal(t, http.StatusBadRequest, p.post(`{"model":"m"}`, good).status, "the provider's own refusal costs nothing")
	p.stop(0)
	require.Zero(t, b.ledger().Records)
	require.Contains(t, b.logs.String(), "no account took a request")
	require.NotContains(t, b.logs.String(), good)
}

// Accounts whose tokens have expired, without a way to refresh them, are nobody's turn;
// without another one it is the gateway that has failed, and its log says why.
func TestAccountsThatCannotBeUsed(t *testing.T) {
	b := setup(t)
	for range maxTries {
		b.account(accounts.AccountData{Priority: 1, OAuthData: &accounts.OAuthData{AccessToken: token, RefreshToken: "tok-secret-refresh", ExpiresAt: time.Now()}})
	}
	good := b.account(accounts.AccountData{Priority: 2})
	_, key := b.key(apikeys.KeyData{})
	p := b.start()
	require.Equal(t, http.StatusOK, p.post(hello, key).status)
	require.NoError(t, b.client.Accounts.UpdateAccountStatus(t.Context(), good, accounts.Inactive, accounts.StatusMetadata{}).Err())
	p.requireRefused(p.post(hello, key), http.StatusServiceUnavailable, "overloaded_error")
	p.stop(0)
	require.Contains(t, b.logs.String(), "RELAYSTORE_OAUTH")
}

func TestRevokedWhileRunning(t *testing.T) {
	b := setup(t)
	b.account(accounts.AccountData{})
	p := b.start()
	for name, revoke := range map[string]func(id string) error{
		"deleted": func(id string) error { return b.client.APIKeys.DeleteAPIKey(t.Context(), id).Err() },
		"disabled": func(id string) error {
			return b.client.APIKeys.UpdateAPIKey(t.Context(), id, apikeys.Patch{IsActive: result.Set(false)}).Err()
		},
	} {
		id, key := b.key(apikeys.KeyData{})
		require.Equal(t, http.StatusOK, p.post(hello, key).status)
		require.NoError(t, revoke(id), name)
		p.until(func() bool { return p.post(hello, key).status == http.StatusUnauthorized })
		p.requireRefused(p.post(hello, key), http.StatusUnauthorized, "authentication_error")
	}
}

// PostgreSQL goes away: clients hear that it is the gateway's trouble, and when it is back
// everything is, the record of a response that ended meanwhile included.
func TestDatabaseAway(t *testing.T) {
	b := setup(t, "RELAYSTORE_MAX_STALENESS=2s", "RELAYSTORE_STALE_IF_ERROR=2s")
	b.account(accounts.AccountData{})
	_, key := b.key(apikeys.KeyData{})
	proxy := b.throughProxy()
	up := newHeld(t)
	p := b.start("-upstream", up.URL)
	s := p.stream(key)
	s.until("first")
	proxy.Cut()
	close(up.goOn)
	s.until("message_stop")
	p.until(func() bool { return p.get("/healthz").status == http.StatusServiceUnavailable })
	a := p.post(hello, key)
	p.requireRefused(a, http.StatusServiceUnavailable, "overloaded_error")
	require.Equal(t, "1", a.header.Get("Retry-After"))
	require.Zero(t, b.ledger().Records)
	proxy.Pass()
	require.Equal(t, ledger{Records: 1, Requests: 1, Input: 5, Output: 7, Total: 12, Cost: "0.00012"}, p.recorded(1))
	p.until(func() bool { return p.get("/healthz").status == http.StatusOK })
	p.stop(0)
}

// throughProxy leads the gateway to PostgreSQL through a proxy.
func (b *bundle) throughProxy() *faultproxy.Proxy {
	b.Helper()
	for _, v := range b.env {
		if url, found := strings.CutPrefix(v, "DATABASE_URL="); found {
			proxy, through := faultproxy.Postgres(b, url)
			b.env = append(b.env, "DATABASE_URL="+through)
			return proxy
		}
	}
	require.Fail(b, "no DATABASE_URL")
	return nil
}

// While it stops, neither health nor requests: whoever still reaches it goes elsewhere.
func TestStopping(t *testing.T) {
	b := setup(t)
	_, key := b.key(apikeys.KeyData{})
	g := newGateway(b.client, "http://127.0.0.1:1")
	ask := func(method, path string) int {
		req := httptest.NewRequest(method, path, strings.NewReader(hello))
		req.Header.Set("X-Api-Key", key)
		w := httptest.NewRecorder()
		g.routes().ServeHTTP(w, req)
		return w.Code
	}
	require.Equal(t, http.StatusOK, ask(http.MethodGet, "/healthz"))
	require.Equal(t, http.StatusTooManyRequests, ask(http.MethodPost, "/v1/messages"))
	require.True(t, g.places.TryAcquire(maxPlaces), "a refused request holds no place")
	require.Equal(t, http.StatusServiceUnavailable, ask(http.MethodPost, "/v1/messages"), "no place is free")
	g.places.Release(maxPlaces)
	g.stopping.Store(true)
	require.Equal(t, http.StatusServiceUnavailable, ask(http.MethodGet, "/healthz"))
	require.Equal(t, http.StatusServiceUnavailable, ask(http.MethodPost, "/v1/messages"))
}
