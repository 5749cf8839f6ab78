package apikeys_test

import (
	"context"
	"math/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

func BenchmarkHit(b *testing.B) {
	c := testclient.Open(b, testclient.Config(b))
	k, err := c.APIKeys.CreateAPIKey(b.Context(), apikeys.KeyData{Name: "n"}).Get()
	require.NoError(b, err)
	ctx := context.Background()
	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) {
		begin := time.Now()
		c.APIKeys.ValidateAPIKey(ctx, k.HashedKey)
		if time.Since(begin) < 2*time.Microsecond {
			break
		}
	}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.APIKeys.ValidateAPIKey(ctx, k.HashedKey)
		}
	})
	b.Run("many", func(b *testing.B) {
		hashes := make([]string, 10_000)
		for i := range hashes {
			k, err := c.APIKeys.CreateAPIKey(b.Context(), apikeys.KeyData{Name: "n"}).Get()
			require.NoError(b, err)
			hashes[i] = k.HashedKey
			c.APIKeys.ValidateAPIKey(ctx, k.HashedKey)
		}
		zipf := rand.NewZipf(rand.New(rand.NewSource(1)), 1.1, 1, uint64(len(hashes)-1))
		draws := make([]string, 1<<16)
		for i := range draws {
			draws[i] = hashes[zipf.Uint64()]
			c.APIKeys.ValidateAPIKey(ctx, draws[i])
		}
		i := 0
		b.ReportAllocs()
		for b.Loop() {
			c.APIKeys.ValidateAPIKey(ctx, draws[i&(1<<16-1)])
			i++
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				c.APIKeys.ValidateAPIKey(ctx, k.HashedKey)
			}
		})
	})
	b.Run("now", func(b *testing.B) {
		for b.Loop() {
			_ = time.Now()
		}
	})
}

func BenchmarkOnRedis(b *testing.B) {
	cfg := testclient.Config(b)
	cfg.PrimaryRedisURL = testclient.LegacyRedis(b)
	c := testclient.OnRedis(b, cfg, strategy.APIKey)
	k, err := c.APIKeys.CreateAPIKey(b.Context(), apikeys.KeyData{Name: "n"}).Get()
	require.NoError(b, err)
	b.Run("validate", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				c.APIKeys.ValidateAPIKey(context.Background(), k.HashedKey)
			}
		})
	})
	b.Run("update", func(b *testing.B) {
		for b.Loop() {
			c.APIKeys.UpdateAPIKey(context.Background(), k.ID, apikeys.Patch{Description: result.Set("d")})
		}
	})
}
