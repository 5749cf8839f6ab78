package accounts_test

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testprovider"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/accounts/oauth"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// refreshing is a bundle with a provider, and one account that it has authorised.
type refreshing struct {
	*bundle

	p               *testprovider.Provider
	id              string
	access, refresh string
	log             *logs
}

type logs struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func setupRefresh(t *testing.T, change ...func(*repo.Config)) *refreshing {
	t.Helper()
	r := &refreshing{p: testprovider.Start(t), log: &logs{}}
	change = append([]func(*repo.Config){func(c *repo.Config) {
		c.OAuth = make(oauth.Endpoints)
		for _, platform := range []string{accounts.Claude, accounts.Gemini, accounts.OpenAI, accounts.Droid} {
			c.OAuth[platform] = oauth.Endpoint{TokenURL: r.p.URL, ClientID: testprovider.ClientID}
		}
		c.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	}}, change...)
	r.bundle = setup(t, change...)
	r.id, r.access, r.refresh = r.authorise()
	return r
}

// authorise adds an account whose access token has expired.
func (r *refreshing) authorise() (id, access, refresh string) {
	r.Helper()
	access, refresh = r.p.Authorise()
	o := &accounts.OAuthData{AccessToken: access, RefreshToken: refresh, Scopes: []string{"user:inference"}, ExpiresAt: time.Now().Add(-time.Minute)}
	return r.create(accounts.AccountData{Platform: accounts.Claude, Name: "n", OAuthData: o}), access, refresh
}

func (r *refreshing) call() (accounts.Refreshed, error) {
	return r.accs.RefreshOAuthToken(r.ctx(), r.id).Get()
}

func (r *refreshing) mustCall() accounts.Refreshed {
	r.Helper()
	a, err := r.call()
	require.NoError(r, err)
	require.True(r, r.p.Works(a.AccessToken))
	return a
}

// expire lets the time pass in which an outcome answers further calls.
func (r *refreshing) expire() {
	r.Helper()
	if r.cfg.PrimaryRedisURL != "" {
		r.service().do("HSET", "relaystore:refresh:"+r.id, "answers", "1")
		return
	}
	r.exec("UPDATE account_refreshes SET answers_until = now() - interval '1 microsecond'")
}

// refused requires a failure of the provider with these details.
func (r *refreshing) refused(err error, details map[string]any) {
	r.Helper()
	require.ErrorIs(r, err, result.UpstreamRefreshFailed)
	require.Equal(r, details, result.From(err).Details)
}

func (r *refreshing) called(n int) {
	r.Helper()
	require.Eventually(r, func() bool { return r.p.Calls() >= n }, patience, time.Millisecond)
}

// renewed waits until a new token is stored.
func (r *refreshing) renewed() {
	r.Helper()
	require.Eventually(r, func() bool {
		now := r.credentials(r.id).AccessToken
		return now != r.access && r.p.Works(now)
	}, patience, time.Millisecond)
}

// waits waits until a process looks again and again whether the lease is free.
func (r *refreshing) waits() {
	r.Helper()
	sql := "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%AccountRefreshGet%' AND pid <> pg_backend_pid() AND datname = current_database()"
	require.Eventually(r, func() bool { return r.count(sql) > 0 }, patience, time.Millisecond)
}

// free requires that nobody holds a lease.
func (r *refreshing) free() {
	r.Helper()
	require.Zero(r, r.count("SELECT count(*) FROM account_refreshes WHERE lease_expires_at > now()"))
}

// another opens one more client of the same config: another process, as far as the
// library can tell.
func (r *refreshing) another() *accounts.Repo { return testclient.Open(r, r.cfg).Accounts }
