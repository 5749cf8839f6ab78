package repo_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/strategy"
)

// fresh waits until a client may answer from its cache.
func fresh(t *testing.T, c *repo.Client) {
	t.Helper()
	require.Eventually(t, func() bool {
		h, err := c.Storage.GetStorageHealth(t.Context())
		return err == nil && h.Redis.HeartbeatAge >= 0
	}, time.Minute, time.Millisecond)
}

// A Cluster is used where the prefix keeps its keys together, is followed when they
// move to another master and when their master dies, and is refused without.
func TestRedisCluster(t *testing.T) {
	t.Parallel()
	cluster := testdb.RedisCluster(t)
	cfg := testclient.Config(t)
	cfg.RedisURL, cfg.RequireRedis = cluster.URL, false
	_, err := repo.Open(t.Context(), cfg)
	require.ErrorIs(t, err, result.InvalidQuery)
	require.Equal(t, "RELAYSTORE_KEY_PREFIX", result.From(err).Field())

	cfg.KeyPrefix, cfg.UsageWrites = "{gateway}:", repo.WriteBehind
	one, two := testclient.Open(t, cfg), testclient.Open(t, cfg)
	k, err := one.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "k"}).Get()
	require.NoError(t, err)
	check := func(active bool) {
		t.Helper()
		fresh(t, one)
		fresh(t, two)
		require.NoError(t, one.APIKeys.UpdateAPIKey(t.Context(), k.ID, apikeys.Patch{IsActive: result.Set(active)}).Err())
		for _, c := range []*repo.Client{one, two} {
			require.Eventually(t, func() bool {
				v, err := c.APIKeys.ValidateAPIKey(t.Context(), k.HashedKey).Get()
				require.NoError(t, err)
				return v.IsActive == active
			}, time.Minute, time.Millisecond)
			require.NoError(t, c.Usage.RecordUsage(t.Context(), usage.Record{APIKeyID: k.ID, AccountType: "claude", Model: "m", RequestCount: 1}).Err())
		}
		health, err := one.Usage.JournalHealth(t.Context())
		require.NoError(t, err)
		require.True(t, health.Appending)
	}
	check(false)
	check(true)
	for range 2 { // away, and further
		cluster.Move(cfg.KeyPrefix)
		require.Eventually(t, func() bool {
			h, err := one.Storage.GetStorageHealth(t.Context())
			return err == nil && h.Redis.HeartbeatAge < 0
		}, time.Minute, time.Millisecond, "it begins anew")
		check(false)
		check(true)
	}
	owner, _ := cluster.Owner(cfg.KeyPrefix)
	cluster.Nodes[owner].Kill()
	require.NoError(t, one.APIKeys.UpdateAPIKey(t.Context(), k.ID, apikeys.Patch{IsActive: result.Set(false)}).Err())
	for _, c := range []*repo.Client{one, two} {
		require.Eventually(t, func() bool {
			v, err := c.APIKeys.ValidateAPIKey(t.Context(), k.HashedKey).Get()
			return err == nil && !v.IsActive
		}, time.Minute, time.Millisecond)
	}
	require.NoError(t, cluster.Nodes[owner].Start(t.Context()))
	check(true)
}

// A Cluster cannot be a primary: a record's keys would be on several servers.
func TestNoPrimaryOnACluster(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	cfg.PrimaryRedisURL = testdb.RedisCluster(t).URL
	client := testclient.Open(t, cfg)
	c := strategy.Config{PrimaryStorage: strategy.PrimaryRedis, ReadStrategy: strategy.DatabaseFirst, WriteStrategy: strategy.WriteThrough}
	err := client.Storage.SwitchStorageStrategy(t.Context(), strategy.Session, c).Err()
	require.ErrorIs(t, err, result.InvalidQuery)
	require.Equal(t, "primaryStorage", result.From(err).Field())
	s, err := client.Storage.GetStorageConfig(strategy.Session)
	require.NoError(t, err)
	require.Equal(t, strategy.PrimaryPostgres, s.PrimaryStorage)
}
