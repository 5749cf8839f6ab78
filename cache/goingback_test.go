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

// lenient is a process that goes on while the primary is down.
func (b *bundle) lenient() *process {
	b.t.Helper()
	b.options.MaxStaleness = 300 * time.Millisecond
	b.source.StaleIfError, b.source.Down = time.Hour, func(err error) bool { return errors.Is(err, errDown) }
	return b.process()
}

// A process that has missed heartbeats, or its connection, hears from the primary
// that a record has changed or is gone. When the primary fails then, it does not go
// back to what it held before.
func TestNothingOlderThanItsOwnAnswer(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]bool{"no heartbeats": false, "connection lost": true} {
		for change, text := range map[string]string{"changed": "two", "gone": ""} {
			t.Run(name+", "+change, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				p := b.lenient()
				b.primary.secretly(key, "one")
				b.cached(p, key, "one")
				b.drainer.rest()
				b.becomes(func() bool { return !p.Fresh(time.Now()) })
				if lost {
					p.Push("")
				}
				b.primary.commit(key, version{text: text, gone: text == ""})
				require.Equal(t, text, b.get(p, key))
				b.primary.fail(errDown)
				got, err := p.records.Get(t.Context(), &key, time.Now())
				if lost && text != "" { // the answer took the place of what was set aside
					require.NoError(t, err)
					require.Equal(t, text, *got)
					return
				}
				require.ErrorIs(t, err, errDown)
			})
		}
	}
}

// An answer that is held up does not take the place of a newer one.
func TestALateAnswerIsNotSetAside(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.lenient()
	b.primary.secretly(key, "one")
	b.cached(p, key, "one")
	b.drainer.rest()
	p.Push("")
	late := b.hold(p, key)
	b.primary.secretly(key, "two")
	b.becomes(func() bool { // it does not join the other
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		text, err := p.records.Get(ctx, &key, time.Now())
		return err == nil && *text == "two"
	})
	late()
	b.primary.fail(errDown)
	text, err := p.records.Get(t.Context(), &key, time.Now())
	if err == nil {
		require.Equal(t, "two", *text)
	}
}

// Strangers take all turns at a primary that is up. What it has replaced does not live
// on because of them.
func TestAFloodIsNoOutage(t *testing.T) {
	t.Parallel()
	const callers, known = 64, 5
	b := setup(t)
	p := b.lenient()
	p.records.Limit(200)
	for n := range known {
		b.primary.secretly(cache.KeyOf(n), "one")
		b.cached(p, cache.KeyOf(n), "one")
	}
	b.drainer.rest()
	for n := range known {
		b.primary.secretly(cache.KeyOf(n), "two")
	}
	b.becomes(func() bool { return !p.Fresh(time.Now()) })
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	var next atomic.Int64
	for range callers {
		running.Go(func() {
			for ctx.Err() == nil {
				k := cache.KeyOf(1000 + int(next.Add(1)))
				_, _ = p.records.Get(ctx, &k, time.Now())
			}
		})
	}
	b.becomes(func() bool { return next.Load() > 300 }) // the burst is over
	for n := range known {
		require.Equal(t, "two", b.get(p, cache.KeyOf(n)))
	}
}
