package oauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testprovider"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func refresher(t *testing.T, e Endpoint) *Refresher {
	t.Helper()
	e.ClientID = testprovider.ClientID
	r, err := New(Endpoints{accounts.Claude: e})
	require.NoError(t, err)
	return r
}

func request(token string) accounts.RefreshRequest {
	return accounts.RefreshRequest{Platform: accounts.Claude, RefreshToken: token}
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	p := testprovider.Start(t)
	_, token := p.Authorise()
	before := time.Now()
	got, err := refresher(t, Endpoint{TokenURL: p.URL}).Refresh(t.Context(), request(token))
	require.NoError(t, err)
	require.True(t, p.Works(got.AccessToken))
	require.NotEqual(t, token, got.RefreshToken)
	require.WithinRange(t, got.ExpiresAt, before.Add(testprovider.Lifetime*time.Second), time.Now().Add(testprovider.Lifetime*time.Second))
	require.Equal(t, []string{"user:inference", "user:profile"}, got.Scopes)
	require.Equal(t, "application/x-www-form-urlencoded", p.Last().ContentType)
	require.Equal(t, 1, p.Calls())
}

func TestRefreshAsJSON(t *testing.T) {
	t.Parallel()
	p := testprovider.Start(t)
	_, token := p.Authorise()
	e := Endpoint{TokenURL: p.URL, ClientSecret: "secret", JSON: true, UserAgent: "gateway/1"}
	_, err := refresher(t, e).Refresh(t.Context(), request(token))
	require.NoError(t, err)
	want := map[string]string{"grant_type": "refresh_token", "refresh_token": token, "client_id": testprovider.ClientID, "client_secret": "secret"}
	require.Equal(t, testprovider.Request{ContentType: "application/json", UserAgent: "gateway/1", Parameters: want}, p.Last())
}

func TestEndpointOfAnOAuthProvider(t *testing.T) {
	t.Parallel()
	p := testprovider.Start(t)
	r, err := New(Endpoints{
		"gemini":             {TokenURL: "https://one.example", ClientID: "x"},
		"gemini/antigravity": {TokenURL: p.URL, ClientID: testprovider.ClientID},
	})
	require.NoError(t, err)
	_, token := p.Authorise()
	req := accounts.RefreshRequest{Platform: accounts.Gemini, RefreshToken: token, Details: accounts.Details{OAuthProvider: "antigravity"}}
	_, err = r.Refresh(t.Context(), req)
	require.NoError(t, err)

	_, err = r.Refresh(t.Context(), request(token))
	require.Equal(t, &accounts.RefreshError{Kind: accounts.RefreshRefused, Reason: "no_endpoint", NotSent: true}, err)
}

func TestProviderKeepsTheRefreshToken(t *testing.T) {
	t.Parallel()
	p := testprovider.Start(t)
	p.Answer(testprovider.Says(200, `{"access_token":"a"}`))
	got, err := refresher(t, Endpoint{TokenURL: p.URL}).Refresh(t.Context(), request("old"))
	require.NoError(t, err)
	require.Equal(t, accounts.Tokens{AccessToken: "a", RefreshToken: "old", Scopes: []string{}}, got)
}

func TestFailures(t *testing.T) {
	t.Parallel()
	date := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for name, c := range map[string]struct {
		answer testprovider.Answer
		want   accounts.RefreshError
	}{
		"reused":          {testprovider.Rotates, accounts.RefreshError{Kind: accounts.RefreshInvalidGrant, Reason: "invalid_grant", Status: 400}},
		"OpenAI's":        {testprovider.Says(401, `{"error":{"message":"sk-refresh-x","code":"refresh_token_reused"}}`), accounts.RefreshError{Kind: accounts.RefreshInvalidGrant, Reason: "refresh_token_reused", Status: 401}},
		"with 200":        {testprovider.Says(200, `{"error":"invalid_grant"}`), accounts.RefreshError{Kind: accounts.RefreshInvalidGrant, Reason: "invalid_grant", Status: 200}},
		"400":             {testprovider.Says(400, `{"error":"invalid_client"}`), accounts.RefreshError{Kind: accounts.RefreshRefused, Reason: "invalid_client", Status: 400}},
		"unknown word":    {testprovider.Says(403, `{"error":"sk-refresh-x"}`), accounts.RefreshError{Kind: accounts.RefreshRefused, Status: 403}},
		"a page":          {testprovider.Says(404, "<html>sk-refresh-x"), accounts.RefreshError{Kind: accounts.RefreshRefused, Status: 404}},
		"429":             {testprovider.Says(429, "slow down", "Retry-After", "17"), accounts.RefreshError{Kind: accounts.RefreshRateLimited, Status: 429, RetryAfter: 17 * time.Second}},
		"429 with a word": {testprovider.Says(429, `{"error":"invalid_grant"}`), accounts.RefreshError{Kind: accounts.RefreshRateLimited, Reason: "invalid_grant", Status: 429}},
		"500":             {testprovider.Says(500, "{}"), accounts.RefreshError{Kind: accounts.RefreshUnavailable, Status: 500}},
		"503":             {testprovider.Says(503, "", "Retry-After", "2"), accounts.RefreshError{Kind: accounts.RefreshUnavailable, Status: 503, RetryAfter: 2 * time.Second}},
		"garbage":         {testprovider.Says(200, "<html>sk-refresh-x"), accounts.RefreshError{Kind: accounts.RefreshMalformed, Status: 200}},
		"no token":        {testprovider.Says(200, `{"refresh_token":"sk-refresh-x"}`), accounts.RefreshError{Kind: accounts.RefreshMalformed, Status: 200}},
		"wrong kinds":     {testprovider.Says(200, `{"access_token":[1]}`), accounts.RefreshError{Kind: accounts.RefreshMalformed, Status: 200}},
		"endless":         {testprovider.Endless, accounts.RefreshError{Kind: accounts.RefreshMalformed, Status: 200}},
		"cut off":         {testprovider.RotatesAndCuts, accounts.RefreshError{Kind: accounts.RefreshUnavailable}},
		"elsewhere":       {testprovider.Says(307, "", "Location", "https://other.example/token"), accounts.RefreshError{Kind: accounts.RefreshRefused, Status: 307}},
		"same host":       {testprovider.Says(308, "", "Location", "/token"), accounts.RefreshError{Kind: accounts.RefreshRefused, Status: 308}},
		"dated":           {testprovider.Says(429, "", "Retry-After", date), accounts.RefreshError{Kind: accounts.RefreshRateLimited, Status: 429, RetryAfter: time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := testprovider.Start(t)
			p.Answer(c.answer)
			_, err := refresher(t, Endpoint{TokenURL: p.URL}).Refresh(t.Context(), request("sk-refresh-used-up"))
			var e *accounts.RefreshError
			require.ErrorAs(t, err, &e)
			if name == "dated" {
				require.InDelta(t, time.Hour, e.RetryAfter, float64(time.Minute))
				e.RetryAfter = time.Hour
			}
			require.Equal(t, c.want, *e)
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, *e), "sk-")
			require.Equal(t, 1, p.Calls(), "the token is sent once")
		})
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	p := testprovider.Start(t)
	called := make(chan struct{})
	p.Answer(func(w http.ResponseWriter, r *http.Request, exchange func(http.ResponseWriter)) {
		close(called)
		testprovider.Stalls(w, r, exchange)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := refresher(t, Endpoint{TokenURL: p.URL}).Refresh(ctx, request("r"))
	<-called
	require.Equal(t, &accounts.RefreshError{Kind: accounts.RefreshUnavailable, Reason: "timeout"}, err)
}

func TestProviderIsDown(t *testing.T) {
	t.Parallel()
	p := testprovider.Start(t)
	url := p.URL
	p.Close()
	_, err := refresher(t, Endpoint{TokenURL: url}).Refresh(t.Context(), request("r"))
	require.Equal(t, &accounts.RefreshError{Kind: accounts.RefreshUnavailable, NotSent: true}, err)
}

// overTLS serves a provider with a certificate that only the second value trusts.
func overTLS(t *testing.T) (p *testprovider.Provider, url string, trust func(*http.Transport)) {
	t.Helper()
	p = testprovider.New()
	s := httptest.NewTLSServer(p)
	t.Cleanup(s.Close)
	s.Config.ErrorLog = nil
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return p, s.URL, func(tr *http.Transport) {
		tr.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
}

func TestCertificateIsVerified(t *testing.T) {
	t.Parallel()
	p, url, trust := overTLS(t)
	_, token := p.Authorise()
	r := refresher(t, Endpoint{TokenURL: url})
	_, err := r.Refresh(t.Context(), request(token))
	require.Equal(t, &accounts.RefreshError{Kind: accounts.RefreshUnavailable, NotSent: true}, err)
	require.Zero(t, p.Calls())
	r.tune = trust
	_, err = r.Refresh(t.Context(), request(token))
	require.NoError(t, err)
}

func TestProxies(t *testing.T) {
	t.Parallel()
	const username, password = "u:@/ ser", "pass%40 :@/?#word"
	plain := testprovider.Start(t)
	secured, securedURL, trust := overTLS(t)
	for kind, proxy := range map[string]*testprovider.Proxy{
		"http": testprovider.HTTPProxy(t, strings.ReplaceAll(username, ":", ""), password), "socks5": testprovider.SOCKS5Proxy(t, username, password),
	} {
		for scheme, to := range map[string]struct {
			p   *testprovider.Provider
			url string
		}{"http": {plain, plain.URL}, "https": {secured, securedURL}} {
			t.Run(kind+" to "+scheme, func(t *testing.T) {
				r := refresher(t, Endpoint{TokenURL: to.url})
				r.tune = trust
				_, token := to.p.Authorise()
				req := request(token)
				req.Proxy = &accounts.ProxyConfig{Type: kind, Host: proxy.Host, Port: proxy.Port, Username: username, Password: "wrong"}
				if kind == "http" {
					req.Proxy.Username = strings.ReplaceAll(username, ":", "") // RFC 7617 has none in a user name
				}
				passed, calls := proxy.Passed(), to.p.Calls()
				_, err := r.Refresh(t.Context(), req)
				require.Error(t, err)
				require.Equal(t, calls, to.p.Calls())
				require.NotContains(t, err.Error(), "wrong")

				req.Proxy.Password = password
				got, err := r.Refresh(t.Context(), req)
				require.NoError(t, err)
				require.True(t, to.p.Works(got.AccessToken))
				require.Equal(t, passed+1, proxy.Passed())
			})
		}
	}
}

func TestDeadProxyIsNotPassedBy(t *testing.T) {
	t.Parallel()
	p := testprovider.Start(t)
	_, token := p.Authorise()
	dead := testprovider.Start(t)
	host, port, _ := strings.Cut(strings.TrimPrefix(dead.URL, "http://"), ":")
	dead.Close()
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	for _, kind := range []string{"http", "socks5"} {
		req := request(token)
		req.Proxy = &accounts.ProxyConfig{Type: kind, Host: host, Port: number}
		_, err := refresher(t, Endpoint{TokenURL: p.URL}).Refresh(t.Context(), req)
		require.Equal(t, &accounts.RefreshError{Kind: accounts.RefreshUnavailable, NotSent: true}, err)
	}
	require.Zero(t, p.Calls())
}

func TestWrongEndpoints(t *testing.T) {
	t.Parallel()
	good := Endpoint{TokenURL: "https://provider.example/token", ClientID: "c"}
	for field, e := range map[string]Endpoint{
		"claude.tokenUrl":     {TokenURL: "http://provider.example/token", ClientID: "c"},
		"claude.clientId":     {TokenURL: good.TokenURL},
		"claude.clientSecret": {TokenURL: good.TokenURL, ClientID: "c", ClientSecret: "hunter\n2"},
		"claude.userAgent":    {TokenURL: good.TokenURL, ClientID: "c", UserAgent: "a\r\nb"},
	} {
		_, err := New(Endpoints{"claude": e})
		require.ErrorIs(t, err, result.InvalidQuery)
		require.Equal(t, field, result.From(err).Field())
		require.NotContains(t, err.Error(), "hunter")
	}
	for _, url := range []string{"", "x", "https://", "https://u:p@provider.example", "ftp://provider.example", "https://provider.example/#x", "http://127.0.0.1.example/", ":"} {
		_, err := New(Endpoints{"claude": {TokenURL: url, ClientID: "c"}})
		require.ErrorContains(t, err, "claude.tokenUrl", url)
	}
	for _, name := range []string{"", "cloud", "/claude"} {
		_, err := New(Endpoints{name: good})
		require.ErrorContains(t, err, "must begin with one of")
	}
	_, err := New(nil)
	require.Error(t, err)
}

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := Parse(`{"claude":{"tokenUrl":"https://a.example","clientId":"c","json":true},"gemini":{"tokenUrl":"https://b.example","clientId":"d","clientSecret":"hunter2"}}`)
	require.NoError(t, err)
	require.Equal(t, Endpoints{
		"claude": {TokenURL: "https://a.example", ClientID: "c", JSON: true},
		"gemini": {TokenURL: "https://b.example", ClientID: "d", ClientSecret: "hunter2"},
	}, got)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", got, got, got, got), "hunter2")
	for _, text := range []string{"", "hunter2", `{"claude":"hunter2"}`, `{"claude":{"tokenUrl":"hunter2"}}`, `{"claude":{"tokenUrl":"x","clientId":"c","clientsecret":"hunter2"}}`} {
		_, err := Parse(text)
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
