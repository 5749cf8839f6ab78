package repo_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/accounts/oauth"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
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
			repo.Config{DatabaseURL: "postgres://x/db", Pool: &pgxpool.Pool{}, MaxConns: 3, ConnectTimeout: time.Second, SlowQuery: time.Second},
			[]string{"DATABASE_URL", "RELAYSTORE_MAX_CONNS", "RELAYSTORE_CONNECT_TIMEOUT", "RELAYSTORE_SLOW_QUERY"},
		},
		"pool and tracer": {
			repo.Config{Pool: &pgxpool.Pool{}, Tracer: &strategy.Meter{}}, []string{"DATABASE_URL"},
		},
		"no Redis": {
			repo.Config{DatabaseURL: "postgres://x/db", RequireRedis: true, MaxStaleness: time.Second, RedisOption: func(*rueidis.ClientOption) {}, CachedSessions: 5},
			[]string{"RELAYSTORE_REQUIRE_REDIS", "RELAYSTORE_MAX_STALENESS", "REDIS_URL", "RELAYSTORE_CACHED_SESSIONS"},
		},
		"write_behind without Redis": {
			repo.Config{DatabaseURL: "postgres://x/db", UsageWrites: repo.WriteBehind}, []string{"RELAYSTORE_USAGE_WRITES"},
		},
		"journal without write_behind": {
			repo.Config{DatabaseURL: "postgres://x/db", RedisURL: "redis://x", UsageWrites: repo.WriteThrough, JournalReplicas: 1, JournalLimit: 5000},
			[]string{"RELAYSTORE_JOURNAL_REPLICAS", "RELAYSTORE_JOURNAL_LIMIT"},
		},
		"journal's bounds": {
			repo.Config{DatabaseURL: "postgres://x/db", RedisURL: "redis://x", UsageWrites: repo.WriteBehind, JournalReplicas: -1, JournalLimit: 10},
			[]string{"RELAYSTORE_JOURNAL_REPLICAS", "RELAYSTORE_JOURNAL_LIMIT"},
		},
		"another way to write": {
			repo.Config{DatabaseURL: "postgres://x/db", RedisURL: "redis://x", UsageWrites: "write_around"}, []string{"RELAYSTORE_USAGE_WRITES"},
		},
		"unreadable": {
			repo.Config{DatabaseURL: "postgres://hunter2@%zz", DirectURL: "postgres://%zz", RedisURL: "http://hunter2", PrimaryRedisURL: "http://hunter2"},
			[]string{"DATABASE_URL", "RELAYSTORE_DIRECT_URL", "REDIS_URL", "RELAYSTORE_PRIMARY_REDIS_URL"},
		},
		"keysets": {
			repo.Config{DatabaseURL: "postgres://x/db", Keyset: &keyset.Handle{}, KeysetFile: "keyset.json"},
			[]string{"RELAYSTORE_KEYSET"},
		},
		"refreshers": {
			repo.Config{
				DatabaseURL: "postgres://x/db", TokenRefresher: goldenProvider{}, RefreshAhead: -1,
				OAuth: oauth.Endpoints{"claude": {TokenURL: "http://x", ClientID: "c"}},
			},
			[]string{"RELAYSTORE_OAUTH: contradicts TokenRefresher", "RELAYSTORE_OAUTH: claude.tokenUrl", "RELAYSTORE_REFRESH_AHEAD"},
		},
		"no refresher": {repo.Config{DatabaseURL: "postgres://x/db", RefreshAhead: time.Minute}, []string{"RELAYSTORE_REFRESH_AHEAD"}},
		"webhooks":     {repo.Config{DatabaseURL: "postgres://x/db", AlertSecret: "hunter2"}, []string{"RELAYSTORE_ALERT_SECRET"}},
		"private webhooks": {
			repo.Config{DatabaseURL: "postgres://x/db", AlertPrivateWebhooks: true}, []string{"RELAYSTORE_ALERT_PRIVATE_WEBHOOKS"},
		},
		"bounds": {
			repo.Config{
				DatabaseURL: "postgres://x/db", RedisURL: "redis://x", MaxConns: -1, ConnectTimeout: -1, OpTimeout: time.Hour, MaxStaleness: -1,
				CachedSessions: -1, MaxSessionData: 1, SlowQuery: time.Hour, TxTimeout: time.Hour, MaxTransactions: -1, RequestIDWindow: time.Hour, KeyPrefix: "a b", APIKeyPrefix: "\x00", LegacyEncryptionKey: "\xff",
			},
			[]string{
				"RELAYSTORE_MAX_CONNS", "RELAYSTORE_CONNECT_TIMEOUT", "RELAYSTORE_OP_TIMEOUT", "RELAYSTORE_MAX_STALENESS",
				"RELAYSTORE_CACHED_SESSIONS", "RELAYSTORE_MAX_SESSION_DATA", "RELAYSTORE_SLOW_QUERY", "RELAYSTORE_TX_TIMEOUT", "RELAYSTORE_MAX_TRANSACTIONS", "RELAYSTORE_REQUEST_ID_WINDOW", "RELAYSTORE_KEY_PREFIX", "RELAYSTORE_API_KEY_PREFIX", "RELAYSTORE_LEGACY_ENCRYPTION_KEY",
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
		"RELAYSTORE_CACHED_SESSIONS": "9", "RELAYSTORE_MAX_SESSION_DATA": "8192", "RELAYSTORE_REQUEST_ID_WINDOW": "48h", "RELAYSTORE_LEGACY_ENCRYPTION_KEY": "k", "RELAYSTORE_API_KEY_PREFIX": "sk-",
		"RELAYSTORE_USAGE_WRITES": "write_behind", "RELAYSTORE_JOURNAL_REPLICAS": "2", "RELAYSTORE_JOURNAL_LIMIT": "5000",
		"RELAYSTORE_OAUTH": `{"claude":{"tokenUrl":"https://x","clientId":"c"}}`, "RELAYSTORE_REFRESH_AHEAD": "10m",
		"RELAYSTORE_TX_TIMEOUT": "4s", "RELAYSTORE_MAX_TRANSACTIONS": "3",
		"RELAYSTORE_SLOW_QUERY":   "50ms",
		"RELAYSTORE_ALERT_SECRET": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "RELAYSTORE_ALERT_PRIVATE_WEBHOOKS": "true",
	} {
		t.Setenv(name, value)
	}
	got, err := repo.ConfigFromEnv()
	require.NoError(t, err)
	require.Equal(t, repo.Config{
		DatabaseURL: "postgres://x/db", RedisURL: "redis://x", DirectURL: "postgres://y/db", KeyPrefix: "p:", MaxConns: 7,
		RequireRedis: true, ConnectTimeout: time.Second, OpTimeout: 2 * time.Second, MaxStaleness: 3 * time.Second,
		CachedSessions: 9, MaxSessionData: 8192, RequestIDWindow: 48 * time.Hour, LegacyEncryptionKey: "k", APIKeyPrefix: "sk-",
		UsageWrites: repo.WriteBehind, JournalReplicas: 2, JournalLimit: 5000,
		OAuth: oauth.Endpoints{"claude": {TokenURL: "https://x", ClientID: "c"}}, RefreshAhead: 10 * time.Minute,
		TxTimeout: 4 * time.Second, MaxTransactions: 3,
		SlowQuery:   50 * time.Millisecond,
		AlertSecret: "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", AlertPrivateWebhooks: true,
	}, got)
	require.NoError(t, got.Validate())
	require.Equal(t, "postgres://y/db", got.MigrateURL())

	t.Setenv("RELAYSTORE_MAX_CONNS", "many")
	t.Setenv("RELAYSTORE_REQUIRE_REDIS", "maybe")
	t.Setenv("RELAYSTORE_OP_TIMEOUT", "5")
	t.Setenv("RELAYSTORE_OAUTH", "hunter2")
	_, err = repo.ConfigFromEnv()
	for _, name := range []string{"RELAYSTORE_MAX_CONNS", "RELAYSTORE_REQUIRE_REDIS", "RELAYSTORE_OP_TIMEOUT", "RELAYSTORE_OAUTH"} {
		require.ErrorContains(t, err, name)
	}
	require.NotContains(t, err.Error(), "hunter2")
}

// A keyset comes from a file, from the environment, or as a handle.
func TestKeysets(t *testing.T) {
	keys, err := seal.Generate()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "keyset.json")
	require.NoError(t, seal.CreateFile(file, keys))
	text, err := os.ReadFile(file)
	require.NoError(t, err)

	cfg := testclient.Config(t)
	cfg.KeysetFile = file
	account := accounts.AccountData{Platform: accounts.CCR, Name: "n", APIKey: "secret"}
	created, err := testclient.Open(t, cfg).Accounts.CreateAccount(t.Context(), account).Get()
	require.NoError(t, err)

	t.Setenv("RELAYSTORE_KEYSET", string(text))
	env, err := repo.ConfigFromEnv()
	require.NoError(t, err)
	cfg.KeysetFile, cfg.Keyset = "", env.Keyset
	c, err := testclient.Open(t, cfg).Accounts.GetCredentials(t.Context(), created.ID).Get()
	require.NoError(t, err)
	require.Equal(t, "secret", c.APIKey)

	t.Setenv("RELAYSTORE_KEYSET", `{"hunter2":`)
	t.Setenv("RELAYSTORE_KEYSET_FILE", file)
	env, err = repo.ConfigFromEnv()
	require.ErrorContains(t, err, "RELAYSTORE_KEYSET: ")
	require.NotContains(t, err.Error(), "hunter2")
	require.Equal(t, file, env.KeysetFile)

	require.NoError(t, os.Chmod(file, 0o644))
	cfg.Keyset, cfg.KeysetFile = nil, file
	_, err = repo.Open(t.Context(), cfg)
	require.ErrorIs(t, err, result.InvalidQuery)
	require.ErrorContains(t, err, "RELAYSTORE_KEYSET_FILE: ")
	require.ErrorContains(t, err, "chmod 600")
}

// The braces of a key prefix are those of one hash tag.
func TestKeyPrefix(t *testing.T) {
	t.Parallel()
	for prefix, fits := range map[string]bool{
		"": true, "gw:": true, "{gw}:": true, "a{gw}b:": true, "{}": false, "{gw": false, "gw}": false, "{a}{b}": false, "{a b}": false, "a*": false,
	} {
		err := repo.Config{DatabaseURL: "postgres://x/db", KeyPrefix: prefix}.Validate()
		require.Equal(t, fits, err == nil, "%q: %v", prefix, err)
	}
	require.Error(t, repo.Config{DatabaseURL: "postgres://x/db", APIKeyPrefix: "{sk}"}.Validate())
}
