package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/fakeprovider"
	"github.com/seed14a526e0/relaystore/internal/testprovider"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
)

// held is a provider that stops in the middle of a stream: 5 tokens in, two pieces out,
// and then a third, 7 tokens in all.
type held struct {
	*httptest.Server
	goOn, goneAway chan struct{}
}

func newHeld(t *testing.T) *held {
	t.Helper()
	h := &held{goOn: make(chan struct{}), goneAway: make(chan struct{}, 100)}
	h.Server = upstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		fakeprovider.Send(w, map[string]any{"type": "message_start", "message": map[string]any{"usage": map[string]int{"input_tokens": 5, "output_tokens": 1}}})
		fakeprovider.Send(w, map[string]any{"type": "content_block_delta", "delta": map[string]string{"text": "zeroth"}})
		fakeprovider.Send(w, map[string]any{"type": "content_block_delta", "delta": map[string]string{"text": "first"}})
		select {
		case <-h.goOn:
		case <-r.Context().Done():
			h.goneAway <- struct{}{}
			return
		}
		fakeprovider.Send(w, map[string]any{"type": "content_block_delta", "delta": map[string]string{"text": "last"}})
		fakeprovider.Send(w, map[string]any{"type": "message_delta", "usage": map[string]int{"output_tokens": 7}})
		fakeprovider.Send(w, map[string]any{"type": "message_stop"})
	})
	return h
}

func upstream(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// reading is a stream's client.
type reading struct {
	*process
	resp *http.Response
	in   *bufio.Reader
}

func (p *process) stream(key string) *reading {
	p.Helper()
	resp, err := http.DefaultClient.Do(p.request(streamed, "X-Api-Key", key))
	require.NoError(p, err)
	p.Cleanup(func() { _ = resp.Body.Close() })
	require.Equal(p, http.StatusOK, resp.StatusCode)
	return &reading{p, resp, bufio.NewReader(resp.Body)}
}

// until reads to the line that holds the word.
func (s *reading) until(word string) {
	s.Helper()
	for line := ""; !strings.Contains(line, word); {
		var err error
		line, err = s.in.ReadString('\n')
		require.NoError(s, err, "waiting for %q: %s", word, s.logs)
	}
}

// The client has the first piece while the provider has not made the last.
func TestStreamArrivesPieceByPiece(t *testing.T) {
	b := setup(t)
	b.account(accounts.AccountData{})
	_, key := b.key(apikeys.KeyData{})
	up := newHeld(t)
	p := b.start("-upstream", up.URL)
	s := p.stream(key)
	s.until("first")
	close(up.goOn)
	s.until("last")
	s.until("message_stop")
	rest, err := io.ReadAll(s.in)
	require.NoError(t, err)
	require.Equal(t, "data: {\"type\":\"message_stop\"}\n\n", string(rest), "to the last byte, and no more")
	require.Equal(t, ledger{Records: 1, Requests: 1, Input: 5, Output: 7, Total: 12, Cost: "0.00012"}, p.recorded(1))
	p.stop(0)
}

// A client that hangs up ends the provider's work, not the record of it.
func TestHangUp(t *testing.T) {
	b := setup(t)
	b.account(accounts.AccountData{})
	_, key := b.key(apikeys.KeyData{})
	up := newHeld(t)
	p := b.start("-upstream", up.URL)
	s := p.stream(key)
	s.until("first")
	require.NoError(t, s.resp.Body.Close())
	select {
	case <-up.goneAway:
	case <-time.After(wait):
		require.Fail(t, "the provider still works")
	}
	require.Equal(t, ledger{Records: 1, Requests: 1, Input: 5, Output: 2, Total: 7, Cost: "0.000045"}, p.recorded(1))
	p.stop(0)
	require.EqualValues(t, 1, b.ledger().Records)
}

func TestUpstreamFailures(t *testing.T) {
	b := setup(t)
	b.account(accounts.AccountData{})
	_, key := b.key(apikeys.KeyData{})
	var status atomic.Int64
	up := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		if status.Load() == 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Location", "http://127.0.0.1:1/")
		w.WriteHeader(int(status.Load()))
		fmt.Fprint(w, "the provider's words")
	})
	p := b.start("-upstream", up.URL)
	for _, s := range []int{0, 401, 403, 500, 529} {
		status.Store(int64(s))
		p.requireRefused(p.post(hello, key), http.StatusBadGateway, "api_error")
	}
	for _, s := range []int{302, 400, 404} {
		status.Store(int64(s))
		a := p.post(hello, key)
		require.Equal(t, s, a.status)
		require.Equal(t, "the provider's words", a.body)
	}
	up.Close()
	p.requireRefused(p.post(streamed, key), http.StatusBadGateway, "api_error")
	p.stop(0)
	require.Zero(t, b.ledger().Records)
}

// The provider breaks off: the client sees that, and what was produced is recorded.
func TestProviderBreaksOff(t *testing.T) {
	b := setup(t)
	b.account(accounts.AccountData{})
	_, key := b.key(apikeys.KeyData{})
	up := newHeld(t)
	p := b.start("-upstream", up.URL)
	s := p.stream(key)
	s.until("first")
	up.CloseClientConnections()
	_, err := io.ReadAll(s.in)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, ledger{Records: 1, Requests: 1, Input: 5, Output: 2, Total: 7, Cost: "0.000045"}, p.recorded(1))
	p.stop(0)
}

// An account that the provider limits is put away for as long as it says; another takes
// the request.
func TestLimitedAccounts(t *testing.T) {
	b := setup(t)
	limits := map[string]string{"tok-secret-1": "3600", "tok-secret-2": "soon"}
	first := b.account(accounts.AccountData{Priority: 1, OAuthData: &accounts.OAuthData{AccessToken: "tok-secret-1"}})
	second := b.account(accounts.AccountData{Priority: 2, OAuthData: &accounts.OAuthData{AccessToken: "tok-secret-2"}})
	third := b.account(accounts.AccountData{Priority: 3})
	_, key := b.key(apikeys.KeyData{})
	var calls atomic.Int64
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		sent := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if after := limits[sent]; after != "" {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		fakeprovider.Answer(w, r)
	})
	p := b.start("-upstream", up.URL)
	require.Equal(t, http.StatusOK, p.post(hello, key).status)
	require.EqualValues(t, 3, calls.Load())
	for id, wants := range map[string]time.Duration{first: time.Hour, second: time.Minute} {
		a, err := b.client.Accounts.GetAccount(t.Context(), id).Get()
		require.NoError(t, err)
		require.Equal(t, accounts.RateLimited, a.Status)
		require.WithinDuration(t, time.Now().Add(wants), a.RateLimitStatus.ResetAt, wants/2)
	}
	require.Equal(t, http.StatusOK, p.post(hello, key).status)
	require.EqualValues(t, 4, calls.Load(), "the two are not asked again")
	require.NoError(t, b.client.Accounts.UpdateAccountStatus(t.Context(), third, accounts.Inactive, accounts.StatusMetadata{}).Err())
	a := p.post(hello, key)
	p.requireRefused(a, http.StatusTooManyRequests, "rate_limit_error")
	require.NotEmpty(t, a.header.Get("Retry-After"))
	p.stop(0)
	require.EqualValues(t, 2, b.ledger().Records)
}

// A token has expired: many requests at once lead to one refresh, and none fails.
func TestExpiredTokenIsRefreshedOnce(t *testing.T) {
	oauth := testprovider.Start(t)
	b := setup(t, fmt.Sprintf(`RELAYSTORE_OAUTH={"claude":{"tokenUrl":%q,"clientId":%q}}`, oauth.URL, testprovider.ClientID))
	access, refresh := oauth.Authorise()
	b.account(accounts.AccountData{OAuthData: &accounts.OAuthData{AccessToken: access, RefreshToken: refresh, ExpiresAt: time.Now().Add(tokenLeft / 2)}})
	_, key := b.key(apikeys.KeyData{})
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if sent := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); sent == access || !oauth.Works(sent) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fakeprovider.Answer(w, r)
	})
	p := b.start("-upstream", up.URL)
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() { require.Equal(t, http.StatusOK, p.post(hello, key).status) })
	}
	group.Wait()
	require.Equal(t, 1, oauth.Calls())

	oauth.Answer(testprovider.Says(400, `{"error":"invalid_grant"}`))
	access, refresh = oauth.Authorise()
	second := b.account(accounts.AccountData{Priority: 1, OAuthData: &accounts.OAuthData{AccessToken: access, RefreshToken: refresh, ExpiresAt: time.Now()}})
	require.Equal(t, http.StatusOK, p.post(hello, key).status, "an account that cannot be refreshed is another one's turn")
	a, err := b.client.Accounts.GetAccount(t.Context(), second).Get()
	require.NoError(t, err)
	require.Equal(t, accounts.InError, a.Status)
	p.stop(0)
	require.EqualValues(t, 17, b.ledger().Records)
}

// Each account's calls go through its own proxy, with its own credentials.
func TestProxyAndAPIKey(t *testing.T) {
	b := setup(t)
	var seen []string
	proxy := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.URL.Host, r.Header.Get("X-Api-Key"), r.Header.Get("Authorization"), r.Header.Get("Proxy-Authorization"), r.Header.Get("Anthropic-Version"))
		fakeprovider.Answer(w, r)
	})
	host, port, err := net.SplitHostPort(proxy.Listener.Addr().String())
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	b.account(accounts.AccountData{
		APIKey: "tok-secret-key", ProxyConfig: &accounts.ProxyConfig{Type: "http", Host: host, Port: number, Username: "u", Password: "tok-secret"},
	})
	_, key := b.key(apikeys.KeyData{})
	p := b.start("-upstream", "http://provider.test")
	req := p.request(hello, "X-Api-Key", key)
	req.Header.Set("Anthropic-Version", "2023-06-01")
	require.Equal(t, http.StatusOK, p.do(req).status)
	require.Equal(t, []string{"provider.test", "tok-secret-key", "", "Basic dTp0b2stc2VjcmV0", "2023-06-01"}, seen)
	p.stop(0)
}

// The provider's own count wins over that of the pieces, also where it is smaller.
func TestCounting(t *testing.T) {
	t.Parallel()
	x := &exchange{}
	for _, doc := range []string{`{"type":"message_start","message":{"usage":{"input_tokens":4,"cache_read_input_tokens":10,"cache_creation_input_tokens":2}}}`, ``, `:`, `{"usage":null}`} {
		x.note([]byte(doc))
	}
	for range 3 {
		x.note([]byte(`{"type":"content_block_delta"}`))
	}
	require.EqualValues(t, 3, x.record().OutputTokens)
	x.note([]byte(`{"type":"message_delta","usage":{"output_tokens":2}}`))
	rec := x.record()
	require.Equal(t, []int64{4, 2, 2, 10, 18}, []int64{rec.InputTokens, rec.OutputTokens, rec.CacheCreationTokens, rec.CacheReadTokens, rec.TotalTokens})
	require.Equal(t, "0.0000525", rec.Cost.String())
}
