package cache_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
)

// The meter counts an old answer that nobody has told of, and none that a push has
// taken away within its window.
func TestMeter(t *testing.T) {
	t.Parallel()
	for name, violating := range map[string]bool{"told": false, "not told": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var p *process
			var metering atomic.Bool
			load := b.source.Load
			b.source.Load = func(ctx context.Context, k *cache.Key) (*string, error) {
				text, err := load(ctx, k)
				if metering.Load() && name == "told" { // its push is a little later than this look
					time.AfterFunc(100*time.Millisecond, func() { _ = b.drainer.cache.Tell(t.Context(), kind, []cache.Key{*k}) })
				}
				return text, err
			}
			p = b.process()
			b.primary.secretly(key, "one")
			b.cached(p, key, "one")
			b.primary.secretly(key, "two")
			metering.Store(true)
			p.Measure(100)
			if violating {
				b.becomes(func() bool { return p.records.Consistency().Violating > 0 })
				return
			}
			b.becomes(func() bool { return p.records.Known() == 0 })
			metering.Store(false)
			b.cached(p, key, "two")
			b.becomes(func() bool { return p.records.Consistency().Checked > 0 })
			require.Zero(t, p.records.Consistency().Violating)
		})
	}
}
