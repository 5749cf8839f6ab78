package repo_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// Both servers go away. Cached keys, credentials and sessions go on for the same time,
// MaxStaleness where nothing else is configured.
func TestAllKindsOutliveBothServers(t *testing.T) {
	for name, stale := range map[string]time.Duration{"as long as MaxStaleness": 0, "longer": time.Hour} {
		t.Run(name, func(t *testing.T) {
			var postgres, redis *faultproxy.Proxy
			b := setup(t, func(c *repo.Config) {
				postgres, c.DatabaseURL = faultproxy.Postgres(t, c.DatabaseURL)
				redis, c.RedisURL = faultproxy.Redis(t, c.RedisURL)
				c.StaleIfError, c.MaxStaleness = stale, 8*time.Second
				var err error
				c.Keyset, err = seal.Generate()
				require.NoError(t, err)
			})
			key, account := b.key(b.Client, apikeys.KeyData{}), b.account(b.Client)
			t.Cleanup(func() { // Close stores the last use, on a connection that is not broken
				redis.Pass()
				postgres.Pass()
				for range 20 {
					require.Eventually(t, func() bool { return b.APIKeys.GetAPIKey(context.WithoutCancel(t.Context()), key.ID).Err() == nil }, time.Minute, time.Millisecond)
				}
			})
			session, err := b.Sessions.CreateSession(t.Context(), sessions.Data{UserID: "u", UserType: "user", SessionData: json.RawMessage("{}")}).Get()
			require.NoError(t, err)
			kinds := map[string]func() error{
				"key":         func() error { return b.APIKeys.ValidateAPIKey(t.Context(), key.HashedKey).Err() },
				"credentials": func() error { return b.Accounts.GetCredentials(t.Context(), account).Err() },
				"session":     func() error { return b.Sessions.ValidateSession(t.Context(), session.SessionToken).Err() },
			}
			cached := func() bool {
				for _, ask := range kinds {
					if ask() != nil {
						return false
					}
				}
				return true
			}
			require.Eventually(t, func() bool {
				postgres.Cut()
				if cached() {
					return true
				}
				postgres.Pass()
				_ = cached()
				return false
			}, time.Minute, 3*time.Second) // in between, heartbeats are written
			redis.Cut()
			for kind, ask := range kinds {
				require.Never(t, func() bool { return ask() != nil }, 500*time.Millisecond, time.Millisecond, kind) // the loss shows within a moment
			}
			if stale != 0 {
				return
			}
			for kind, ask := range kinds {
				require.Eventually(t, func() bool { return ask() != nil }, time.Minute, time.Millisecond, kind)
				require.ErrorIs(t, ask(), result.ConnectionFailed, kind)
			}
		})
	}
}

// The client hears of changes by hand on DirectURL, also when that connection was lost.
func TestListensOnDirectURL(t *testing.T) {
	var direct *faultproxy.Proxy
	b := setup(t, func(c *repo.Config) { direct, c.DirectURL = faultproxy.Postgres(t, c.DatabaseURL) })
	k := b.key(b.Client, apikeys.KeyData{})
	listening := func() (n int) {
		require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN relaystore_cache' AND datname = current_database()").Scan(&n))
		return n
	}
	toggle := func(active bool) {
		_, err := b.pool.Exec(t.Context(), "UPDATE api_keys SET is_active = $2 WHERE id = $1", k.ID, active)
		require.NoError(t, err)
	}
	eventually := func(condition func() bool) { require.Eventually(t, condition, time.Minute, time.Millisecond) }
	active := true
	for range 3 {
		eventually(func() bool { return listening() == 1 })
		tried := direct.Accepted()
		require.Positive(t, tried)
		b.becomes(b.Client, k.HashedKey, active)
		direct.Cut()
		eventually(func() bool { return listening() == 0 })
		active = !active
		toggle(active) // the notification is lost
		direct.Pass()
		eventually(func() bool { return listening() == 1 && direct.Accepted() > tried })
		b.becomes(b.Client, k.HashedKey, active)
	}
}
