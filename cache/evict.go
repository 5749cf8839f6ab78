package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// Evict makes every copy of the keys go. A writer calls it after its commit,
// also after one whose outcome is unknown, and before it answers its own caller:
// from then on no call of this process gets an older record. Where Redis does
// not confirm, this process reads the keys from the primary until every copy,
// and every copy that a lease may still make, has expired.
func (c *Cache) Evict(ctx context.Context, keys ...string) {
	if c == nil || len(keys) == 0 {
		return
	}
	if c.evict(context.WithoutCancel(ctx), keys) != nil {
		c.fences.raise(keys, c.opts.TTL+leaseTTL)
	}
}

// evict deletes the keys in Redis. Redis pushes the invalidation to the writer's
// own connection between the two replies, so that with the second one the local
// copies are gone, too.
func (c *Cache) evict(ctx context.Context, keys []string) error {
	return c.try(ctx, func(ctx context.Context, r rueidis.Client) error {
		cmds := make([]rueidis.Completed, 0, 2*len(keys))
		for _, k := range keys {
			name := c.opts.Prefix + k
			cmds = append(cmds, r.B().Del().Key(name).Build(), r.B().Exists().Key(name).Build())
		}
		for _, reply := range r.DoMulti(ctx, cmds...) {
			if err := reply.Error(); err != nil {
				return err
			}
		}
		return nil
	})
}

// fences are the keys that this process must not answer from a cache, each with
// the time when that ends.
type fences struct {
	count atomic.Int64 // lets reads pass without the lock while there are none
	mu    sync.RWMutex
	until map[string]time.Time
}

func (f *fences) up(key string) bool {
	if f.count.Load() == 0 {
		return false
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return time.Now().Before(f.until[key])
}

// raise also takes down the fences that have ended, so that there are never more
// than the writes of the last d.
func (f *fences) raise(keys []string, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if f.until == nil {
		f.until = make(map[string]time.Time)
	}
	for k, until := range f.until {
		if !now.Before(until) {
			delete(f.until, k)
		}
	}
	for _, k := range keys {
		f.until[k] = now.Add(d)
	}
	f.count.Store(int64(len(f.until)))
}
