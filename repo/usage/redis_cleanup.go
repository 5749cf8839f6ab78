package usage

import (
	"context"

	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// redisCleanup deletes nothing: each counter and each list of a Redis primary goes by its
// own TTL. It tells how many records the lists hold.
func redisCleanup(ctx context.Context, redis *strategy.Redis, o CleanupOptions) (Cleanup, error) {
	if o.Rollups {
		return Cleanup{}, result.Invalid("rollups", "the counters of a Redis primary expire by themselves")
	}
	var n int64
	err := redis.Read(ctx, func(ctx context.Context, client rueidis.Client) error {
		n = 0
		r := &redisReader{client: client}
		seen := make(map[string]bool)
		return r.names(ctx, "usage:records:*", func(keys []string) error {
			var lists []string
			for _, key := range keys {
				if !seen[key] && legacy.ParseName(key).Kind == legacy.KeyRecords {
					seen[key] = true
					lists = append(lists, key)
				}
			}
			lengths, err := each(ctx, r, lists, func(key string) rueidis.Completed {
				return client.B().Llen().Key(key).Build()
			}, (*rueidis.RedisMessage).AsInt64)
			for _, length := range lengths {
				n += length
			}
			return err
		})
	})
	return Cleanup{RemainingRecords: n}, err
}
