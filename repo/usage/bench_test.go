package usage_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

func BenchmarkRecordUsage(b *testing.B) {
	cfg := testclient.Config(b)
	cfg.RedisURL, cfg.RequireRedis = "", false
	c := testclient.Open(b, cfg)
	k, err := c.APIKeys.CreateAPIKey(b.Context(), apikeys.KeyData{Name: "n"}).Get()
	require.NoError(b, err)
	ctx := context.Background()
	record := func(b *testing.B) {
		err := c.Usage.RecordUsage(ctx, usage.Record{
			APIKeyID: k.ID, AccountType: "claude", Model: "m", InputTokens: 3, OutputTokens: 4, TotalTokens: 7,
			Cost: result.MustMoney("0.001"), RequestCount: 1,
		}).Err()
		if err != nil {
			b.Error(err)
		}
	}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			record(b)
		}
	})
	b.Run("many", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				record(b)
			}
		})
	})
}
