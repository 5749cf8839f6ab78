package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testprovider"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestRefresh(t *testing.T) {
	r := setupRefresh(t)
	other := r.another()
	require.Equal(t, r.access, r.credentials(r.id).AccessToken)
	require.NoError(t, other.GetCredentials(r.ctx(), r.id).Err())

	before := time.Now()
	a := r.mustCall()
	require.NotEqual(t, r.access, a.AccessToken)
	require.WithinRange(t, a.ExpiresAt, before.Add(testprovider.Lifetime*time.Second).Truncate(time.Microsecond), time.Now().Add(testprovider.Lifetime*time.Second))
	require.WithinRange(t, a.RefreshedAt, before.Add(-time.Second), time.Now().Add(time.Second))

	c := r.credentials(r.id)
	require.Equal(t, a.AccessToken, c.AccessToken, "this process gives the new one at once")
	require.NotEqual(t, r.refresh, c.RefreshToken)
	require.Equal(t, a.ExpiresAt, c.ExpiresAt)
	require.Equal(t, []string{"user:inference", "user:profile"}, c.Scopes)
	require.Eventually(t, func() bool {
		c, err := other.GetCredentials(r.ctx(), r.id).Get()
		return err == nil && c.AccessToken == a.AccessToken
	}, patience, time.Millisecond)

	same, err := other.RefreshOAuthToken(r.ctx(), r.id).Get()
	require.NoError(t, err)
	require.Equal(t, a, same, "its outcome answers further calls")
	require.Equal(t, 1, r.p.Calls())
	r.expire()
	next, err := other.RefreshOAuthToken(r.ctx(), r.id).Get()
	require.NoError(t, err)
	require.NotEqual(t, a.AccessToken, next.AccessToken)
	require.Equal(t, 2, r.p.Calls())
	require.Zero(t, r.p.Reused())
}

func TestRefreshThroughTheAccountsProxy(t *testing.T) {
	r := setupRefresh(t)
	for kind, proxy := range map[string]*testprovider.Proxy{"http": testprovider.HTTPProxy(t, "u", "p"), "socks5": testprovider.SOCKS5Proxy(t, "u", "p")} {
		r.id, r.access, r.refresh = r.authorise()
		set := func(password string) {
			require.NoError(t, r.accs.SetCredentials(r.ctx(), r.id, accounts.CredentialsPatch{ProxyConfig: result.Set(accounts.ProxyConfig{
				Type: kind, Host: proxy.Host, Port: proxy.Port, Username: "u", Password: password,
			})}).Err())
		}
		set("wrong")
		calls := r.p.Calls()
		_, err := r.call()
		require.ErrorIs(t, err, result.UpstreamRefreshFailed, kind)
		require.Equal(t, calls, r.p.Calls())
		set("p") // other credentials: the failure is no answer any more
		r.mustCall()
		require.EqualValues(t, 1, proxy.Passed())
	}
}

func TestRefreshIsRefused(t *testing.T) {
	r := setupRefresh(t)
	requireField(t, r.accs.RefreshOAuthToken(r.ctx(), "x").Err(), result.InvalidQuery, "accountId")
	require.ErrorIs(t, r.accs.RefreshOAuthToken(r.ctx(), unknownID).Err(), result.RecordNotFound)
	key := r.create(accounts.AccountData{Platform: accounts.CCR, Name: "n", APIKey: "k"})
	requireField(t, r.accs.RefreshOAuthToken(r.ctx(), key).Err(), result.InvalidQuery, "accountId")
	require.NoError(t, r.accs.DeleteAccount(r.ctx(), r.id).Err())
	_, err := r.call()
	require.ErrorIs(t, err, result.RecordNotFound)
	require.Zero(t, r.p.Calls())
	require.Zero(t, r.count("SELECT count(*) FROM account_refreshes"))

	foreign := r.create(accounts.AccountData{Platform: accounts.CCR, Name: "n", OAuthData: &accounts.OAuthData{AccessToken: "a", RefreshToken: "r"}})
	r.refused(r.accs.RefreshOAuthToken(r.ctx(), foreign).Err(), map[string]any{"reason": "no_endpoint"})
}

func TestRefreshWithoutARefresher(t *testing.T) {
	r := setupRefresh(t, func(c *repo.Config) { c.OAuth = nil })
	_, err := r.call()
	requireField(t, err, result.InvalidQuery, "TokenRefresher")
}

func TestRefreshWithoutTheKey(t *testing.T) {
	r := setupRefresh(t)
	r.exec("UPDATE accounts SET refresh_token = access_token")
	_, err := r.call()
	require.ErrorIs(t, err, result.Internal)
	require.Equal(t, "refresh_token", result.From(err).Details["column"])
	require.Zero(t, r.p.Calls())
}

// The caller is gone, the refresh goes on.
func TestRefreshGoesOnWithoutItsCaller(t *testing.T) {
	r := setupRefresh(t)
	answer := make(chan struct{})
	r.p.Answer(testprovider.Waits(answer, testprovider.Rotates))
	ctx, cancel := context.WithCancel(r.ctx())
	done := make(chan error, 1)
	go func() { done <- r.accs.RefreshOAuthToken(ctx, r.id).Err() }()
	r.called(1)
	cancel()
	require.ErrorIs(t, <-done, result.Cancelled)

	impatient, cancel := context.WithTimeout(r.ctx(), time.Millisecond)
	defer cancel()
	require.ErrorIs(t, r.another().RefreshOAuthToken(impatient, r.id).Err(), result.QueryTimeout)
	require.ErrorIs(t, r.accs.RefreshOAuthToken(ctx, r.id).Err(), result.Cancelled)
	close(answer)
	r.renewed()
	require.Equal(t, 1, r.p.Calls())
}

// Also while it still waits for another process.
func TestWaitingGoesOnWithoutItsCaller(t *testing.T) {
	r := setupRefresh(t)
	r.exec("INSERT INTO account_refreshes (account_id, holder, lease_expires_at) VALUES ($1, $2, now() + interval '1 hour')", r.id, unknownID)
	ctx, cancel := context.WithCancel(r.ctx())
	done := make(chan error, 1)
	go func() { done <- r.accs.RefreshOAuthToken(ctx, r.id).Err() }()
	r.waits()
	cancel()
	require.ErrorIs(t, <-done, result.Cancelled)
	r.exec("UPDATE account_refreshes SET lease_expires_at = now()")
	r.renewed()
}

// The cached copy goes before the caller hears that there is a new token: nobody
// else tells this process.
func TestRefreshEvicts(t *testing.T) {
	r := setupRefresh(t)
	r.exec("ALTER TABLE accounts DISABLE TRIGGER USER")
	for n := 0; ; n++ { // until it is cached
		before := r.credentials(r.id).ExpiresAt
		r.expires(r.id, fmt.Sprint(-n-2, " hours"))
		if r.credentials(r.id).ExpiresAt.Equal(before) {
			break
		}
	}
	require.Equal(t, r.mustCall().AccessToken, r.credentials(r.id).AccessToken)
}

// during runs f while the provider has a call before it, which it answers then.
func (r *refreshing) during(answer testprovider.Answer, f func()) (accounts.Refreshed, error) {
	r.Helper()
	until := make(chan struct{})
	r.p.Answer(testprovider.Waits(until, answer))
	type outcome struct {
		a   accounts.Refreshed
		err error
	}
	done := make(chan outcome, 1)
	calls := r.p.Calls()
	go func() {
		a, err := r.call()
		done <- outcome{a, err}
	}()
	r.called(calls + 1)
	f()
	close(until)
	o := <-done
	return o.a, o.err
}

func (r *refreshing) patch(p accounts.CredentialsPatch) {
	r.Helper()
	require.NoError(r, r.accs.SetCredentials(r.ctx(), r.id, p).Err())
}

func TestAuthorisedAnewMeanwhile(t *testing.T) {
	r := setupRefresh(t)
	access, refresh := r.p.Authorise()
	anew := accounts.CredentialsPatch{OAuthData: result.Set(accounts.OAuthData{AccessToken: access, RefreshToken: refresh})}
	got, err := r.during(testprovider.Rotates, func() { r.patch(anew) })
	require.NoError(t, err)
	require.Equal(t, access, got.AccessToken)
	require.Equal(t, refresh, r.credentials(r.id).RefreshToken)
	r.free()
	r.mustCall() // and these are refreshed like any

	// The old ones are refused: that says nothing of the new ones.
	access, refresh = r.p.Authorise()
	anew = accounts.CredentialsPatch{OAuthData: result.Set(accounts.OAuthData{AccessToken: access, RefreshToken: refresh})}
	r.expire()
	got, err = r.during(testprovider.Says(400, `{"error":"invalid_grant"}`), func() { r.patch(anew) })
	require.NoError(t, err)
	require.Equal(t, access, got.AccessToken)
	require.Equal(t, accounts.Active, r.get(r.id).Status)
	r.free()

	r.expire()
	_, refresh = r.p.Authorise()
	anew = accounts.CredentialsPatch{OAuthData: result.Set(accounts.OAuthData{RefreshToken: refresh})}
	_, err = r.during(testprovider.Rotates, func() { r.patch(anew) })
	require.ErrorIs(t, err, result.TransactionConflict)
	r.free()
	r.p.Answer(testprovider.Rotates)
	r.mustCall()
}

// What is no token may change meanwhile: the new tokens are not lost over it.
func TestOtherChangesMeanwhile(t *testing.T) {
	r := setupRefresh(t)
	for _, p := range []func(refresh string) accounts.CredentialsPatch{
		func(string) (p accounts.CredentialsPatch) {
			p.ProxyConfig = result.Set(accounts.ProxyConfig{Type: "http", Host: "127.0.0.1", Port: 9})
			return p
		},
		func(string) accounts.CredentialsPatch { return accounts.CredentialsPatch{APIKey: result.Set("k")} },
		func(refresh string) accounts.CredentialsPatch {
			return accounts.CredentialsPatch{OAuthData: result.Set(accounts.OAuthData{AccessToken: "x", RefreshToken: refresh})}
		},
	} {
		refresh := r.credentials(r.id).RefreshToken
		got, err := r.during(testprovider.Rotates, func() { r.patch(p(refresh)) })
		require.NoError(t, err)
		require.True(t, r.p.Works(got.AccessToken))
		c := r.credentials(r.id)
		require.Equal(t, got.AccessToken, c.AccessToken)
		r.patch(accounts.CredentialsPatch{ProxyConfig: result.Null[accounts.ProxyConfig]()})
		r.expire()
	}
	require.Zero(t, r.p.Reused())
}

func TestDeletedMeanwhile(t *testing.T) {
	r := setupRefresh(t)
	_, err := r.during(testprovider.Rotates, func() { require.NoError(t, r.accs.DeleteAccount(r.ctx(), r.id).Err()) })
	require.ErrorIs(t, err, result.RecordNotFound)
	require.Equal(t, 1, r.count("SELECT count(*) FROM accounts WHERE access_token IS NULL AND refresh_token IS NULL"))

	r.id, _, _ = r.authorise()
	_, err = r.during(testprovider.Says(400, `{"error":"invalid_grant"}`), func() { require.NoError(t, r.accs.DeleteAccount(r.ctx(), r.id).Err()) })
	require.ErrorIs(t, err, result.RecordNotFound)
	require.Zero(t, r.accs.Unstored())
}

func TestProviderThatKeepsItsRefreshToken(t *testing.T) {
	r := setupRefresh(t)
	r.p.Answer(testprovider.Says(200, `{"access_token":"a2"}`))
	a, err := r.call()
	require.NoError(t, err)
	require.Zero(t, a.ExpiresAt)
	require.Equal(t, `{"success":true,"data":{"accessToken":"a2","refreshedAt":"`+a.RefreshedAt.Format("2006-01-02T15:04:05.000Z")+`"}}`, marshal(t, result.OK(a)))
	c := r.credentials(r.id)
	require.Equal(t, []any{"a2", r.refresh, []string{"user:inference"}}, []any{c.AccessToken, c.RefreshToken, c.Scopes})
}

// refresherFunc is a gateway's own way to refresh.
type refresherFunc func(accounts.RefreshRequest) (accounts.Tokens, error)

func (f refresherFunc) Refresh(_ context.Context, req accounts.RefreshRequest) (accounts.Tokens, error) {
	return f(req)
}

func TestOwnRefresher(t *testing.T) {
	var answer func(accounts.RefreshRequest) (accounts.Tokens, error)
	r := setupRefresh(t, func(c *repo.Config) {
		c.OAuth = nil
		c.TokenRefresher = refresherFunc(func(req accounts.RefreshRequest) (accounts.Tokens, error) { return answer(req) })
	})
	r.patch(accounts.CredentialsPatch{ProxyConfig: result.Set(accounts.ProxyConfig{Type: "socks5", Host: "h", Port: 1, Username: "u", Password: "p"})})
	answer = func(req accounts.RefreshRequest) (accounts.Tokens, error) {
		require.Equal(t, accounts.RefreshRequest{
			AccountID: r.id, Platform: accounts.Claude, RefreshToken: r.refresh, Scopes: []string{"user:inference"},
			Proxy: &accounts.ProxyConfig{Type: "socks5", Host: "h", Port: 1, Username: "u", Password: "p"},
		}, req)
		return accounts.Tokens{AccessToken: "a2", RefreshToken: "r2", ExpiresAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), Scopes: []string{"bad\x00"}}, nil
	}
	a, err := r.call()
	require.NoError(t, err)
	require.Equal(t, "a2", a.AccessToken)
	require.Equal(t, []string{"user:inference"}, r.credentials(r.id).Scopes, "no token is lost over a bad scope")

	for _, c := range []struct {
		tokens  accounts.Tokens
		err     error
		details map[string]any
	}{
		{err: errors.New("hunter2"), details: map[string]any{"reason": "unavailable"}},
		{err: context.DeadlineExceeded, details: map[string]any{"reason": "timeout"}},
		{err: &accounts.RefreshError{Kind: "hunter2", Reason: "x"}, details: map[string]any{"reason": "unavailable"}},
		{err: &accounts.RefreshError{Kind: accounts.RefreshRefused, Reason: "Hunter 2", Status: -1, RetryAfter: -1}, details: map[string]any{"reason": "refused"}},
		{err: &accounts.RefreshError{Kind: accounts.RefreshRateLimited, Status: http.StatusTooManyRequests, RetryAfter: 1 << 62}, details: map[string]any{"reason": "rate_limited", "status": 429, "retryAfterSeconds": int64(86400)}},
		{details: map[string]any{"reason": "malformed"}},
		{tokens: accounts.Tokens{AccessToken: "a\n"}, details: map[string]any{"reason": "malformed"}},
		{tokens: accounts.Tokens{AccessToken: "a", RefreshToken: string(make([]byte, 17<<10))}, details: map[string]any{"reason": "malformed"}},
	} {
		r.expire()
		answer = func(accounts.RefreshRequest) (accounts.Tokens, error) { return c.tokens, c.err }
		_, err := r.call()
		r.refused(err, c.details)
		require.NotContains(t, err.Error(), "unter")
	}
	require.Equal(t, "a2", r.credentials(r.id).AccessToken)
	require.NotContains(t, r.log.String(), "unter2")
}
