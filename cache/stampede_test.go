package cache_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
)

// stampede lets 1,000 callers of each process miss one key at once, and gives how
// many loads that made.
func (b *bundle) stampede(key cache.Key, processes ...*process) int64 {
	b.t.Helper()
	gate := make(chan struct{})
	b.primary.slowDown(gate)
	before := b.primary.reads.Load()
	var called, done sync.WaitGroup
	var wrong atomic.Int64
	for _, p := range processes {
		for range 1000 {
			called.Add(1)
			done.Go(func() {
				called.Done()
				text, err := p.records.Get(b.t.Context(), &key, time.Now())
				if err != nil || text == nil || *text != "one" {
					wrong.Add(1)
				}
			})
		}
	}
	called.Wait()
	close(gate)
	done.Wait()
	b.primary.slowDown(nil)
	require.Zero(b.t, wrong.Load())
	return b.primary.reads.Load() - before
}

func TestStampede(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second, third := b.process(), b.process(), b.process()
	for n := range 10 {
		k := cache.KeyOf(n)
		b.primary.secretly(k, "one")
		require.EqualValues(t, 1, b.stampede(k, first))
		k = cache.KeyOf(100 + n)
		b.primary.secretly(k, "one")
		require.LessOrEqual(t, b.stampede(k, first, second, third), int64(3))
	}
}

// Without Redis, too, callers share.
func TestStampedeWithoutCache(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.primary.secretly(key, "one")
	p := &process{records: cache.NewRecords(nil, b.source)}
	require.Less(t, b.stampede(key, p), int64(1000))
}

// Strangers with keys that nobody has cost the primary its limit, the table of
// unknown keys its bound, and clients nothing.
func TestFloodOfUnknownKeys(t *testing.T) {
	t.Parallel()
	const flood, callers, clients, limit = 20_000, 64, 200, 1000
	b := setup(t)
	p := b.process()
	for n := range clients {
		b.primary.secretly(cache.KeyOf(n), "one")
		b.cached(p, cache.KeyOf(n), "one")
	}
	p.records.Timeout = 5 * time.Millisecond
	p.records.Limit(limit)
	before, start := b.primary.reads.Load(), time.Now()
	var next, unknown, overload, wrong atomic.Int64
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for n := next.Add(1); n <= flood; n = next.Add(1) {
				k := cache.KeyOf(clients + int(n))
				switch text, err := p.records.Get(t.Context(), &k, time.Now()); {
				case err == nil:
					unknown.Add(1)
					wrong.Add(map[bool]int64{true: 1}[text != nil])
				case errors.Is(err, cache.ErrOverload):
					overload.Add(1)
				default:
					wrong.Add(1)
				}
			}
		})
	}
	running.Wait()
	allowed := 1 + limit*(1+time.Since(start).Seconds()) // the burst, and what came since
	loads := b.primary.reads.Load() - before
	require.Zero(t, wrong.Load())
	require.EqualValues(t, flood, unknown.Load()+overload.Load())
	require.Positive(t, overload.Load())
	require.GreaterOrEqual(t, loads, unknown.Load(), "no answer without a load")
	require.LessOrEqual(t, float64(loads), allowed)
	require.LessOrEqual(t, p.records.Unknown(), 4*cache.UnknownKeys)
	require.Zero(t, p.records.Evictions())
	require.Equal(t, clients, p.records.Known())
	p.records.Timeout = patience
	for n := range clients {
		require.False(t, b.loaded(p, cache.KeyOf(n)))
	}
}

// A caller with a short deadline hears the same.
func TestOverloadWithinTheCallersDeadline(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.process()
	p.records.Limit(1)
	require.Empty(t, b.get(p, key))
	for n := range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		k := cache.KeyOf(10 + n)
		_, err := p.records.Get(ctx, &k, time.Now())
		cancel()
		if n > 0 { // a slow machine may have let a second pass
			require.ErrorIs(t, err, cache.ErrOverload)
		}
	}
}

// Callers who ask for more than the limit and leave: those keys are not looked up
// for them later, while others wait.
func TestNobodyIsLookedUpForWhoHasLeft(t *testing.T) {
	t.Parallel()
	const flood, limit = 500, 10
	b := setup(t)
	p := b.process()
	p.records.Limit(limit)
	before := b.primary.reads.Load()
	var running sync.WaitGroup
	for n := range flood {
		running.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			k := cache.KeyOf(10 + n)
			_, _ = p.records.Get(ctx, &k, time.Now())
		})
	}
	running.Wait()
	b.primary.secretly(key, "one")
	b.becomes(func() bool {
		text, err := p.records.Get(t.Context(), &key, time.Now())
		return err == nil && *text == "one"
	})
	require.Less(t, b.primary.reads.Load()-before, int64(flood/2))
}

// A primary that has stopped answering holds up a bounded number of loads; calls
// beyond them hear of it when their time is over.
func TestLoadsAreBounded(t *testing.T) {
	t.Parallel()
	const loads, more = 20, 200
	b := setup(t)
	b.source.Loads = loads
	p := b.process()
	silence := make(chan struct{})
	b.primary.slowDown(silence)
	before := b.primary.reads.Load()
	var failed atomic.Int64
	get := func(ctx context.Context, n int, want error) {
		k := cache.KeyOf(n)
		if _, err := p.records.Get(ctx, &k, time.Now()); !errors.Is(err, want) {
			failed.Add(1)
		}
	}
	var first, beyond sync.WaitGroup
	for n := range loads {
		first.Go(func() { get(t.Context(), n, nil) })
	}
	b.becomes(func() bool { return b.primary.reads.Load()-before == loads })
	for n := range more {
		beyond.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			get(ctx, loads+n, cache.ErrOverload)
		})
	}
	beyond.Wait()
	close(silence)
	first.Wait()
	require.Zero(t, failed.Load())
	require.EqualValues(t, loads, b.primary.reads.Load()-before)
}

// Who waits behind a caller who leaves gets an answer all the same.
func TestWhoStaysIsAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.process()
	p.records.Limit(2)
	b.get(p, cache.KeyOf(2))
	b.get(p, cache.KeyOf(3))
	b.primary.secretly(key, "one")
	ctx, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := p.records.Get(ctx, &key, time.Now())
		first <- err
	}()
	b.becomes(func() bool { return p.records.Waiting() == 1 })
	var called, done sync.WaitGroup
	var answered atomic.Int64
	for range 100 {
		called.Add(1)
		done.Go(func() {
			called.Done()
			if text, err := p.records.Get(t.Context(), &key, time.Now()); err == nil && *text == "one" {
				answered.Add(1)
			}
		})
	}
	called.Wait()
	leave()
	require.ErrorIs(t, <-first, context.Canceled)
	done.Wait()
	require.EqualValues(t, 100, answered.Load())
}

// A known stranger costs nothing more.
func TestUnknownKeysStayKnown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p, other := b.process(), b.process()
	require.True(t, b.loaded(p, key))
	b.get(other, key) // neither its lease nor anyone else's changes that
	b.drop(key)
	b.pushed(other)
	require.False(t, b.loaded(p, key))
}
