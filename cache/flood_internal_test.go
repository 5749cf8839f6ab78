package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// alone is a cache that is fresh for ever and has no Redis.
func alone(t *testing.T) *Cache {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	c := &Cache{opts: Options{MaxStaleness: time.Hour}, kinds: make(map[string]invalidator), background: ctx, stop: stop}
	c.fresh.base = time.Now()
	c.fresh.wall.Store(c.fresh.base.UnixNano())
	t.Cleanup(c.Close)
	return c
}

// flood asks for many keys that nobody has, and counts the answers.
func flood(t *testing.T, r *Records[int], keys int) (unknown, overload int64) {
	t.Helper()
	var next, wrong, no, over atomic.Int64
	var running sync.WaitGroup
	for range 256 {
		running.Go(func() {
			for n := next.Add(1); n <= int64(keys); n = next.Add(1) {
				k := keyOf(int(n) + 1_000_000_000)
				switch v, err := r.Get(t.Context(), &k, time.Now()); {
				case err == nil && v == nil:
					no.Add(1)
				case errors.Is(err, ErrOverload):
					over.Add(1)
				default:
					wrong.Add(1)
				}
			}
		})
	}
	running.Wait()
	require.Zero(t, wrong.Load())
	return no.Load(), over.Load()
}

// A million strangers cost the primary the limit of docs/freshness.md, and clients
// nothing; those beyond the limit hear of it, and are never not found.
func TestAMillionStrangers(t *testing.T) {
	t.Parallel()
	const clients = 1000
	var loads atomic.Int64
	r := NewRecords[int](alone(t), Source[int]{Kind: "int", Timeout: time.Minute, Load: func(context.Context, *Key) (*int, error) {
		loads.Add(1)
		return nil, nil
	}})
	for n := range clients {
		require.True(t, put(r.table, n, n))
	}
	r.Timeout = time.Millisecond
	start := time.Now()
	unknown, overload := flood(t, r, strangers)
	require.EqualValues(t, strangers, unknown+overload)
	require.GreaterOrEqual(t, loads.Load(), unknown, "no answer without a load")
	require.LessOrEqual(t, float64(loads.Load()), 5000*(1+time.Since(start).Seconds())+1)
	require.Positive(t, overload)
	require.Zero(t, r.Evictions())
	for n := range clients {
		_, kept := look(r.table, n)
		require.True(t, kept)
	}
}

// Even where the primary answers them all, what is remembered of strangers is bounded.
func TestWhatIsRememberedOfStrangersIsBounded(t *testing.T) {
	t.Parallel()
	r := NewRecords[int](alone(t), Source[int]{Kind: "int", Timeout: time.Minute, Load: func(context.Context, *Key) (*int, error) { return nil, nil }})
	r.turns = newTurns(10*remembered, DefaultLoads)
	unknown, _ := flood(t, r, remembered)
	require.EqualValues(t, remembered, unknown)
	require.Greater(t, r.Unknown(), unknownKeys)
	require.LessOrEqual(t, r.Unknown(), min(4*unknownKeys, remembered*19/20))
	require.Positive(t, r.unknown.Evictions())
	require.Zero(t, r.Evictions())
}
