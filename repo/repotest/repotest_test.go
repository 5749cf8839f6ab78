package repotest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/repotest"
	"github.com/seed14a526e0/relaystore/strategy"
)

// The distinct semantics of the strategies that there are.
func TestDefault(t *testing.T) { run(t, config(t), repotest.Full) }

func TestCacheOff(t *testing.T) {
	cfg := config(t)
	switchCached(t, cfg, strategy.Config{PrimaryStorage: strategy.PrimaryPostgres, ReadStrategy: strategy.DatabaseFirst, WriteStrategy: strategy.WriteThrough})
	run(t, cfg, repotest.Full)
}

// The primary is asked before its cache.
func TestDatabaseFirst(t *testing.T) {
	cfg := config(t)
	first := strategy.Default(strategy.Session, false)
	first.ReadStrategy = strategy.DatabaseFirst
	switchCached(t, cfg, first)
	run(t, cfg, repotest.Full)
}

// switchCached switches the data types that have a cache.
func switchCached(t *testing.T, cfg repo.Config, to strategy.Config) {
	t.Helper()
	c := testclient.Open(t, cfg)
	for _, data := range []strategy.DataType{strategy.APIKey, strategy.Account, strategy.Session} {
		require.NoError(t, c.Storage.SwitchStorageStrategy(t.Context(), data, to).Err())
	}
}

func TestWithoutRedis(t *testing.T) {
	cfg := config(t)
	cfg.RedisURL, cfg.RequireRedis = "", false
	run(t, cfg, repotest.Full)
}

func TestWriteBehind(t *testing.T) {
	cfg := config(t)
	cfg.UsageWrites = repo.WriteBehind
	caps := repotest.Full
	caps.Behind = true
	run(t, cfg, caps)
}

// Keys, accounts and sessions are written behind, too.
func TestTouchesBehind(t *testing.T) {
	cached := strategy.Default(strategy.Session, false)
	cached.WriteStrategy = strategy.WriteBehind
	first := cached
	first.ReadStrategy = strategy.DatabaseFirst
	for name, to := range map[string]strategy.Config{
		"cache_first": cached, "database_first": first,
		"no cache": {PrimaryStorage: strategy.PrimaryPostgres, ReadStrategy: strategy.DatabaseFirst, WriteStrategy: strategy.WriteBehind},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			cfg.UsageWrites = repo.WriteBehind
			switchCached(t, cfg, to)
			caps := repotest.Full
			caps.Behind, caps.Lags = true, true
			run(t, cfg, caps)
		})
	}
}

// One connection has none to spare for transactions, and without a keyset accounts
// have no secrets.
func TestWithoutTransactions(t *testing.T) {
	cfg := config(t)
	cfg.Keyset, cfg.MaxConns = nil, 1
	caps := repotest.Full
	caps.Secrets, caps.Transactions, caps.Batches = false, nil, nil
	run(t, cfg, caps)
}

// Behind PgBouncer in transaction mode, each call may have another connection.
func TestBehindPgBouncer(t *testing.T) {
	cfg := config(t)
	cfg.DirectURL, cfg.DatabaseURL = cfg.DatabaseURL, testdb.Pooled(t, cfg.DatabaseURL)
	run(t, cfg, repotest.Full)
}

func TestOnRedisCluster(t *testing.T) {
	cfg := config(t)
	cfg.RedisURL, cfg.KeyPrefix = testdb.RedisCluster(t).URL, "{gateway}:"
	run(t, cfg, repotest.Full)
}

func TestBehindSentinel(t *testing.T) {
	cfg := config(t)
	pair := testdb.RedisPair(t)
	cfg.RedisURL, cfg.RedisOption = pair.URL, pair.Tune
	run(t, cfg, repotest.Full)
}

// The legacy service's layout holds all four data types. Its finest figures are the
// hours of one zone, which last for a week, and transactions do not cover it.
func TestOnRedis(t *testing.T) {
	caps := repotest.Full
	caps.Transactions, caps.Batches = nil, nil
	caps.KeyAccounts, caps.Cells, caps.Zone, caps.History = false, time.Hour, "Asia/Shanghai", 7*24*time.Hour
	run(t, onRedis(t, strategy.DataTypes...), caps)
}

// Each data type has a primary of its own.
func TestKeysOnRedis(t *testing.T) {
	caps := repotest.Full
	caps.Transactions, caps.Batches = []strategy.DataType{strategy.Account, strategy.Usage}, nil
	run(t, onRedis(t, strategy.APIKey, strategy.Session), caps)
}

func TestUsageOnRedis(t *testing.T) {
	caps := repotest.Full
	caps.Transactions = []strategy.DataType{strategy.APIKey, strategy.Account, strategy.Session}
	caps.KeyAccounts, caps.Cells, caps.Zone, caps.History = false, time.Hour, "Asia/Shanghai", 7*24*time.Hour
	run(t, onRedis(t, strategy.Usage), caps)
}

func onRedis(t *testing.T, types ...strategy.DataType) repo.Config {
	t.Helper()
	cfg := config(t)
	cfg.PrimaryRedisURL, cfg.LegacyEncryptionKey = testclient.LegacyRedis(t), "the ENCRYPTION_KEY of a test"
	testclient.OnRedis(t, cfg, types...)
	return cfg
}

func config(t *testing.T) repo.Config {
	t.Helper()
	t.Parallel()
	cfg := testclient.Config(t)
	var err error
	cfg.Keyset, err = seal.Generate()
	require.NoError(t, err)
	return cfg
}

func run(t *testing.T, cfg repo.Config, caps repotest.Capabilities) {
	t.Helper()
	if cfg.RedisURL != "" {
		c := testclient.Open(t, cfg)
		require.Eventually(t, func() bool {
			h, err := c.Storage.GetStorageHealth(t.Context())
			return err == nil && h.Redis.HeartbeatAge >= 0
		}, time.Minute, time.Millisecond, "the cache takes part")
	}
	repotest.Run(t, func(t *testing.T) *repo.Client { return testclient.Open(t, cfg) }, caps)
}
