package usage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/strategy"
)

// TestClientWithUsageOnRedis switches usage alone: keys are PostgreSQL's, transactions
// refuse usage, and so do records of unknown keys.
func TestClientWithUsageOnRedis(t *testing.T) {
	t.Parallel()
	stack, err := devstack.Start(t.Context(), devstack.Options{SkipPostgres: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stack.Close()) })
	cfg := testclient.Config(t)
	cfg.PrimaryRedisURL = stack.RedisURL
	client := testclient.Open(t, cfg)
	require.NoError(t, client.Storage.SwitchStorageStrategy(t.Context(), strategy.Usage, strategy.Config{
		PrimaryStorage: strategy.PrimaryRedis, ReadStrategy: strategy.DatabaseFirst, WriteStrategy: strategy.WriteThrough,
	}).Err())
	key, err := client.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "a key"}).Get()
	require.NoError(t, err)

	data := apikeys.UsageData{Model: "m", InputTokens: 1, OutputTokens: 2, Cost: result.MustMoney("0.5"), RequestCount: 1}
	require.NoError(t, client.APIKeys.RecordAPIKeyUsage(t.Context(), key.ID, data).Err())
	hour := time.Now().Truncate(time.Hour)
	q := usage.StatsQuery{StartDate: hour.Add(-time.Hour), EndDate: hour.Add(2 * time.Hour), Granularity: usage.Hour, GroupBy: usage.ByAPIKey}
	stats, err := client.Usage.GetUsageStats(t.Context(), q).Get()
	require.NoError(t, err)
	require.Equal(t, "0.5", stats.Summary.TotalCost.String())
	f := stats.Stats[1].APIKeys[key.ID]
	f.Requests += stats.Stats[2].APIKeys[key.ID].Requests
	require.Equal(t, int64(1), f.Requests)

	err = client.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(tx *repo.Client) error {
		require.ErrorIs(t, tx.APIKeys.RecordAPIKeyUsage(t.Context(), key.ID, data).Err(), result.InvalidQuery)
		require.ErrorIs(t, tx.Usage.GetUsageStats(t.Context(), q).Err(), result.InvalidQuery)
		return nil
	})
	require.NoError(t, err)
	again, err := client.Usage.GetUsageStats(t.Context(), q).Get()
	require.NoError(t, err)
	require.Equal(t, stats, again)
}
