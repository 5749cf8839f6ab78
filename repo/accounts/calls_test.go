package accounts_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// A use moves the account behind the others of its priority, and nothing else: not what
// an operator has set meanwhile.
func TestTouch(t *testing.T) {
	t.Run("postgres", func(t *testing.T) { touches(setup(t)) })
	t.Run("redis", func(t *testing.T) { touches(setup(t, onRedis(t))) })
}

func touches(b *bundle) {
	t := b.T
	b.accs.TouchEvery(time.Hour)
	first, second := b.createClaude(), b.createClaude()
	next := func() string {
		list, err := b.accs.GetAvailableAccounts(t.Context(), accounts.AvailableFilters{Limit: 1}).Get()
		require.NoError(t, err)
		require.Len(t, list, 1)
		return list[0].ID
	}
	begun := time.Now().Add(-time.Millisecond)
	for _, id := range []string{next(), map[string]string{first: second, second: first}[next()]} {
		require.Equal(t, id, next())
		require.NoError(t, b.accs.TouchAccount(t.Context(), id).Err())
		require.NotEqual(t, id, next())
		require.True(t, b.get(id).LastUsedAt.After(begun))
	}
	b.setStatus(first, accounts.Inactive, accounts.StatusMetadata{})
	before := b.get(first)
	require.NoError(t, b.accs.TouchAccount(t.Context(), first).Err())
	require.Equal(t, before, b.get(first), "a process does not write each use")
	b.accs.TouchEvery(0)
	require.Eventually(t, func() bool {
		require.NoError(t, b.accs.TouchAccount(t.Context(), first).Err())
		return b.get(first).LastUsedAt.After(before.LastUsedAt)
	}, patience, time.Millisecond)
	before.LastUsedAt = b.get(first).LastUsedAt
	require.Equal(t, before, b.get(first), "and nothing else")

	ahead := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	b.setStatus(second, accounts.Active, accounts.StatusMetadata{LastRequestAt: ahead})
	require.NoError(t, b.accs.TouchAccount(t.Context(), second).Err())
	require.Equal(t, ahead, b.get(second).LastUsedAt, "never backwards")
	require.ErrorIs(t, b.accs.TouchAccount(t.Context(), unknownID).Err(), result.RecordNotFound)
	requireField(t, b.accs.TouchAccount(t.Context(), "x").Err(), result.InvalidQuery, "accountId")
}

// The provider's limit holds as long as it says, unless somebody has put the account away
// for longer, or for good.
func TestLimit(t *testing.T) {
	t.Run("postgres", func(t *testing.T) { limits(setup(t)) })
	t.Run("redis", func(t *testing.T) { limits(setup(t, onRedis(t))) })
}

func limits(b *bundle) {
	t := b.T
	id := b.createClaude()
	limit := func(d time.Duration) accounts.Account {
		require.NoError(t, b.accs.LimitAccount(t.Context(), id, d).Err())
		return b.get(id)
	}
	for d, want := range map[time.Duration]time.Duration{time.Hour: time.Hour, 0: time.Minute, -time.Hour: time.Minute, 1 << 62: 7 * 24 * time.Hour} {
		b.setStatus(id, accounts.Active, accounts.StatusMetadata{TokensRemaining: tokens(5)})
		a := limit(d)
		require.Equal(t, accounts.RateLimited, a.Status)
		require.EqualValues(t, -1, a.RateLimitStatus.Remaining)
		require.InDelta(t, want, time.Until(a.RateLimitStatus.ResetAt), float64(time.Minute)/2)
	}
	b.setStatus(id, accounts.RateLimited, accounts.StatusMetadata{RateLimitResetAt: ahead})
	require.Equal(t, ahead, limit(time.Minute).RateLimitStatus.ResetAt, "never shorter")
	b.setStatus(id, accounts.Active, accounts.StatusMetadata{})
	b.setStatus(id, accounts.RateLimited, accounts.StatusMetadata{})
	require.Zero(t, limit(time.Minute).RateLimitStatus.ResetAt, "until its status is set")
	for _, status := range []string{accounts.Inactive, accounts.InError} {
		b.setStatus(id, status, accounts.StatusMetadata{ErrorMessage: "by an operator"})
		before := b.get(id)
		require.Equal(t, before, limit(time.Hour))
	}
	require.ErrorIs(t, b.accs.LimitAccount(t.Context(), unknownID, 0).Err(), result.RecordNotFound)
	require.NoError(t, b.accs.DeleteAccount(t.Context(), id).Err())
	require.ErrorIs(t, b.accs.LimitAccount(t.Context(), id, 0).Err(), result.RecordNotFound)
}

// A token that goes on working is given without a refresh; so is that of an account that
// is put away, which nobody may use.
func TestFreshCredentials(t *testing.T) {
	b := setup(t)
	id := b.createClaude()
	c, err := b.accs.GetFreshCredentials(t.Context(), id, time.Hour).Get()
	require.NoError(t, err)
	require.Equal(t, b.credentials(id), c)
	b.exec("UPDATE accounts SET token_expires_at = now() + interval '59 minutes'")
	fresh := func() error { return b.accs.GetFreshCredentials(t.Context(), id, time.Hour).Err() }
	require.Eventually(t, func() bool { return fresh() != nil }, time.Minute, time.Millisecond)
	requireField(t, fresh(), result.InvalidQuery, "TokenRefresher")
	b.setStatus(id, accounts.Inactive, accounts.StatusMetadata{})
	require.NoError(t, fresh())
	require.ErrorIs(t, b.accs.GetFreshCredentials(t.Context(), unknownID, 0).Err(), result.RecordNotFound)
}

func TestProxyURL(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]*accounts.ProxyConfig{
		"socks5://proxy.example:1080":      {Type: "socks5", Host: "proxy.example", Port: 1080},
		"http://u:p%40%2F@[2001:db8::1]:1": {Type: "http", Host: "2001:db8::1", Port: 1, Username: "u", Password: "p@/"},
		"http://:p@h:1":                    {Type: "http", Host: "h", Port: 1, Password: "p"},
	} {
		require.Equal(t, want, p.URL().String())
	}
	require.Nil(t, (*accounts.ProxyConfig)(nil).URL())

	transport, _ := accounts.NewHTTPClient().Transport.(*http.Transport)
	p := &accounts.ProxyConfig{Type: "http", Host: "h", Port: 1}
	for url, want := range map[string]bool{"https://api.example": true, "http://127.0.0.1:80": false, "http://[::1]": false, "http://localhost:1": false, "http://127.0.0.1.example": true} {
		req, err := http.NewRequestWithContext(accounts.WithProxy(t.Context(), p), http.MethodGet, url, nil)
		require.NoError(t, err)
		got, err := transport.Proxy(req)
		require.NoError(t, err)
		require.Equal(t, want, got != nil, url)
		if got, err = transport.Proxy(req.WithContext(accounts.WithProxy(t.Context(), nil))); got != nil || err != nil {
			require.Fail(t, "no proxy", url)
		}
	}
}
