package accounts_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/strategy"
)

// A hit opens two tokens of a realistic length, and with all secrets five columns.
func BenchmarkGetCredentials(b *testing.B) {
	cfg := testclient.Config(b)
	var err error
	cfg.Keyset, err = seal.Generate()
	require.NoError(b, err)
	c := testclient.Open(b, cfg)
	for name, data := range map[string]accounts.AccountData{"claude": claude(), "every secret": full(accounts.Droid)} {
		if name == "claude" {
			data.Platform, data.ProxyConfig = accounts.Claude, nil
			data.OAuthData.AccessToken += longToken
			data.OAuthData.RefreshToken += longToken
		}
		created, err := c.Accounts.CreateAccount(b.Context(), data).Get()
		require.NoError(b, err)
		ctx := context.Background()
		deadline := time.Now().Add(5 * time.Second)
		for time.Now().Before(deadline) { // until it is cached
			begin := time.Now()
			c.Accounts.GetCredentials(ctx, created.ID)
			if time.Since(begin) < 20*time.Microsecond {
				break
			}
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Accounts.GetCredentials(ctx, created.ID)
			}
		})
	}
}

const longToken = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

// On a Redis primary each call asks it, and opens what lies there.
func BenchmarkRedisGetCredentials(b *testing.B) {
	cfg := testclient.Config(b)
	cfg.PrimaryRedisURL, cfg.LegacyEncryptionKey = testclient.LegacyRedis(b), serviceKey
	c := testclient.OnRedis(b, cfg, strategy.Account)
	for _, platform := range []string{accounts.Claude, accounts.Droid} {
		created, err := c.Accounts.CreateAccount(b.Context(), laid(platform)).Get()
		require.NoError(b, err)
		b.Run(platform, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, c.Accounts.GetCredentials(b.Context(), created.ID).Err())
			}
		})
	}
}
