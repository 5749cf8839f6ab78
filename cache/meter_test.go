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
			b.becomes(func() bool { return b.get(p, key) == "two" && p.records.Consistency().Checked > 0 })
			require.Zero(t, p.records.Consistency().Violating)
		})
	}
}

// The meter checks what is not known as well, and every kind.
func TestMeterChecksUnknownKeysOfEveryKind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.process()
	b.source.Kind = "another"
	another := &process{Cache: p.Cache, records: cache.NewRecords(p.Cache, b.source), log: p.log}
	b.cached(p, key, "")
	b.cached(another, cache.KeyOf(2), "")
	p.Measure(100)
	counted := func(r *cache.Records[string]) cache.Consistency { return r.Consistency() }
	b.becomes(func() bool { return counted(p.records).Checked > 0 && counted(another.records).Checked > 0 })
	require.Zero(t, counted(p.records).Violating+counted(another.records).Violating)
	b.primary.secretly(key, "one")
	b.primary.secretly(cache.KeyOf(2), "one")
	b.becomes(func() bool { return counted(p.records).Violating > 0 && counted(another.records).Violating > 0 })
}

// All kinds together are checked as often as is asked for, and no more.
func TestMeterKeepsItsRate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.process()
	for n := range 5 {
		b.source.Kind = string(rune('a' + n))
		another := &process{Cache: p.Cache, records: cache.NewRecords(p.Cache, b.source), log: p.log}
		b.cached(another, key, "")
	}
	before, start := b.primary.reads.Load(), time.Now()
	p.Measure(20)
	b.becomes(func() bool { return b.primary.reads.Load()-before >= 20 })
	loads := float64(b.primary.reads.Load() - before)
	require.LessOrEqual(t, loads, 1+20*time.Since(start).Seconds())
}
