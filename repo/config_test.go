package repo_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestConfigNamesEveryContradiction(t *testing.T) {
	t.Parallel()
	good := repo.Config{DatabaseURL: "postgres://x/db"}
	require.NoError(t, good.Validate())
	for name, c := range map[string]struct {
		cfg  repo.Config
		want []string
	}{
		"nothing": {repo.Config{}, []string{"DATABASE_URL"}},
		"pool and URL": {
			repo.Config{DatabaseURL: "postgres://x/db", Pool: &pgxpool.Pool{}, MaxConns: 3, ConnectTimeout: time.Second},
			[]string{"DATABASE_URL", "RELAYSTORE_MAX_CONNS", "RELAYSTORE_CONNECT_TIMEOUT"},
		},
		"no Redis": {
			repo.Config{DatabaseURL: "postgres://x/db", RequireRedis: true, MaxStaleness: time.Second, RedisOption: func(*rueidis.ClientOption) {}},
			[]string{"RELAYSTORE_REQUIRE_REDIS", "RELAYSTORE_MAX_STALENESS", "REDIS_URL"},
		},
		"unreadable": {
			repo.Config{DatabaseURL: "postgres://hunter2@%zz", DirectURL: "postgres://%zz", RedisURL: "http://hunter2"},
			[]string{"DATABASE_URL", "RELAYSTORE_DIRECT_URL", "REDIS_URL"},
		},
		"bounds": {
			repo.Config{
				DatabaseURL: "postgres://x/db", RedisURL: "redis://x", MaxConns: -1, ConnectTimeout: -1, OpTimeout: time.Hour, MaxStaleness: -1,
				TxTimeout: time.Hour, MaxTransactions: -1, RequestIDWindow: time.Hour, KeyPrefix: "a b", APIKeyPrefix: "\x00", LegacyEncryptionKey: "\xff",
			},
			[]string{
				"RELAYSTORE_MAX_CONNS", "RELAYSTORE_CONNECT_TIMEOUT", "RELAYSTORE_OP_TIMEOUT", "RELAYSTORE_MAX_STALENESS",
				"RELAYSTORE_TX_TIMEOUT", "RELAYSTORE_MAX_TRANSACTIONS", "RELAYSTORE_REQUEST_ID_WINDOW", "RELAYSTORE_KEY_PREFIX", "RELAYSTORE_API_KEY_PREFIX", "RELAYSTORE_LEGACY_ENCRYPTION_KEY",
			},
		},
		"as many transactions as connections":         {repo.Config{DatabaseURL: "postgres://x/db", MaxConns: 5, MaxTransactions: 5}, []string{"RELAYSTORE_MAX_TRANSACTIONS"}},
		"as many transactions as default connections": {repo.Config{DatabaseURL: "postgres://x/db", MaxTransactions: repo.DefaultMaxConns}, []string{"RELAYSTORE_MAX_TRANSACTIONS"}},
	} {
		err := c.cfg.Validate()
		require.ErrorIs(t, err, result.InvalidQuery, name)
		for _, field := range c.want {
			require.ErrorContains(t, err, field+": ", name)
		}
		require.NotContains(t, err.Error(), "hunter2")
		_, err = repo.Open(t.Context(), c.cfg)
		require.ErrorIs(t, err, result.InvalidQuery, name)
	}
}

func TestConfigFromEnv(t *testing.T) {
	for name, value := range map[string]string{
		"DATABASE_URL": "postgres://x/db", "REDIS_URL": "redis://x", "RELAYSTORE_DIRECT_URL": "postgres://y/db",
		"RELAYSTORE_KEY_PREFIX": "p:", "RELAYSTORE_MAX_CONNS": "7", "RELAYSTORE_REQUIRE_REDIS": "true",
		"RELAYSTORE_CONNECT_TIMEOUT": "1s", "RELAYSTORE_OP_TIMEOUT": "2s", "RELAYSTORE_MAX_STALENESS": "3s",
		"RELAYSTORE_TX_TIMEOUT": "4s", "RELAYSTORE_MAX_TRANSACTIONS": "3", "RELAYSTORE_REQUEST_ID_WINDOW": "48h", "RELAYSTORE_LEGACY_ENCRYPTION_KEY": "k", "RELAYSTORE_API_KEY_PREFIX": "sk-",
	} {
		t.Setenv(name, value)
	}
	got, err := repo.ConfigFromEnv()
	require.NoError(t, err)
	require.Equal(t, repo.Config{
		DatabaseURL: "postgres://x/db", RedisURL: "redis://x", DirectURL: "postgres://y/db", KeyPrefix: "p:", MaxConns: 7,
		RequireRedis: true, ConnectTimeout: time.Second, OpTimeout: 2 * time.Second, MaxStaleness: 3 * time.Second,
		TxTimeout: 4 * time.Second, MaxTransactions: 3, RequestIDWindow: 48 * time.Hour, LegacyEncryptionKey: "k", APIKeyPrefix: "sk-",
	}, got)
	require.Equal(t, "postgres://y/db", got.MigrateURL())

	t.Setenv("RELAYSTORE_MAX_CONNS", "many")
	t.Setenv("RELAYSTORE_REQUIRE_REDIS", "maybe")
	t.Setenv("RELAYSTORE_OP_TIMEOUT", "5")
	_, err = repo.ConfigFromEnv()
	for _, name := range []string{"RELAYSTORE_MAX_CONNS", "RELAYSTORE_REQUIRE_REDIS", "RELAYSTORE_OP_TIMEOUT"} {
		require.ErrorContains(t, err, name)
	}
}
