package repo_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

func TestLife(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, err := repo.Open(ctx, repo.Config{DatabaseURL: testdb.URL(t), RedisURL: testdb.RedisURL(t), KeyPrefix: testdb.Prefix(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close(context.Background())) })
	k, err := c.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{Name: "alice", ExpiresAt: time.Now().Add(time.Hour), DailyCostLimit: result.MustMoney("1.5"), Tags: []string{"a"}}).Get()
	require.NoError(t, err)
	for range 3 {
		v, err := c.APIKeys.ValidatePlaintext(ctx, k.APIKey).Get()
		require.NoError(t, err)
		require.True(t, v.IsActive)
	}
	s := c.Usage.RecordUsage(ctx, usage.Record{APIKeyID: k.ID, AccountType: "claude", Model: "m", InputTokens: 3, OutputTokens: 4, TotalTokens: 7, Cost: result.MustMoney("0.001"), RequestCount: 1, RequestID: "r"})
	require.NoError(t, s.Err())
	s = c.Usage.RecordUsage(ctx, usage.Record{APIKeyID: k.ID, AccountType: "claude", Model: "m", InputTokens: 3, OutputTokens: 4, TotalTokens: 7, Cost: result.MustMoney("0.001"), RequestCount: 1, RequestID: "r"})
	require.NoError(t, s.Err())
	require.True(t, s.Duplicate)
	now := time.Now()
	for _, g := range []usage.GroupBy{"", "account", "apikey"} {
		for _, key := range []string{"", k.ID} {
			st, err := c.Usage.GetUsageStats(ctx, usage.StatsQuery{APIKeyID: key, StartDate: now.Add(-time.Hour), EndDate: now.Add(time.Hour), Granularity: usage.Day, GroupBy: g, TimeZone: "Asia/Kathmandu"}).Get()
			require.NoError(t, err)
			require.EqualValues(t, 7, st.Summary.TotalTokens)
		}
	}
	p, err := c.APIKeys.GetAllAPIKeys(ctx, apikeys.Filters{Tags: []string{"a"}}).Get()
	require.NoError(t, err)
	require.Equal(t, 1, p.Total)
	u, err := c.APIKeys.UpdateAPIKey(ctx, k.ID, apikeys.Patch{IsActive: result.Set(false)}).Get()
	require.NoError(t, err)
	require.Equal(t, "alice", u.Name)
	v, err := c.APIKeys.ValidateAPIKey(ctx, k.HashedKey).Get()
	require.NoError(t, err)
	require.False(t, v.IsActive)
	require.NoError(t, c.APIKeys.DeleteAPIKey(ctx, k.ID).Err())
	require.ErrorIs(t, c.APIKeys.ValidateAPIKey(ctx, k.HashedKey).Err(), result.RecordNotFound)
}
