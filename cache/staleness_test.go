package cache_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
)

// bounded reads until the time for old answers is over and the new one comes from
// the primary; an old one after that time fails the test.
func (b *bundle) bounded(p *process, since time.Time, want string) {
	b.t.Helper()
	b.becomes(func() bool {
		over := time.Now().After(since.Add(b.options.MaxStaleness))
		got := b.get(p, key)
		if over {
			require.Equal(b.t, want, got)
		}
		return over
	})
}

// Nobody drains: from MaxStaleness on the primary answers, and nothing is kept.
func TestDrainerDies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.options.MaxStaleness = 300 * time.Millisecond
	p := b.process()
	b.primary.secretly(key, "one")
	b.cached(p, key, "one")
	wake := b.drainer.rest()
	b.primary.set(key, "two")
	b.bounded(p, time.Now(), "two")
	for range 100 {
		require.True(t, b.loaded(p, key))
	}
	require.False(t, p.Fresh(time.Now()))
	wake()
	b.cached(b.fresh(p), key, "two")
	require.Empty(t, p.log.texts(), "Redis was there all the time")
}

// A heartbeat tells of a moment that its writer was held up since. So it proves a
// process fresh only until the heartbeat before the last was replaced.
func TestHeartbeatsProveThePast(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.process()
	defer b.drainer.rest()()
	c, replaced := b.drainer.cache, time.Now()
	for n := range 10 {
		held, _, err := c.ReadHeartbeat(t.Context())
		require.NoError(t, err)
		since, next := p.Since(), held
		next.Beat++
		require.NoError(t, c.ReplaceHeartbeat(t.Context(), held, next))
		require.ErrorIs(t, c.ReplaceHeartbeat(t.Context(), held, next), cache.ErrHeartbeatReplaced)
		b.becomes(func() bool { return p.Since() != since })
		if n > 1 { // before, the drainer's own were seen
			require.True(t, p.Since().Before(replaced), n)
		}
		replaced = time.Now()
	}
}

// A process hears nothing although its sockets are open, while others go on.
func TestBlackhole(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(*faultproxy.Proxy){"cut": (*faultproxy.Proxy).Cut, "stalled": (*faultproxy.Proxy).Stall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.options.MaxStaleness = 300 * time.Millisecond
			p, writer := b.proxied(), b.process()
			b.primary.secretly(key, "one")
			b.cached(p, key, "one")
			breakIt(b.proxy)
			b.write(writer, key, "two")
			b.bounded(p, time.Now(), "two")
			b.proxy.Pass()
			b.cached(b.fresh(p), key, "two")
		})
	}
}

// The caller's clock decides, too, and a machine that slept is not fresh, though
// its monotonic clock says so; nor is one whose wall clock was set back.
func TestClocks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.process()
	wake := b.drainer.rest()
	defer wake()
	require.True(t, p.Fresh(time.Now()))
	require.False(t, p.Fresh(time.Now().Add(b.options.MaxStaleness)))
	p.SetBack(time.Hour)
	require.True(t, p.Fresh(time.Now()))
	require.False(t, p.Fresh(time.Now().Add(b.options.MaxStaleness)))
	p.Suspend(time.Hour + b.options.MaxStaleness)
	b.becomes(func() bool { // a heartbeat may still have been on its way
		p.Suspend(b.options.MaxStaleness)
		return !p.Fresh(time.Now())
	})
}

func TestHitsEndWithTheCallersClock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.process()
	b.primary.secretly(key, "one")
	b.cached(p, key, "one")
	b.drop(key)
	b.primary.secretly(key, "two")
	later := time.Now().Add(2 * b.options.MaxStaleness)
	text, err := p.records.Get(t.Context(), &key, later)
	require.NoError(t, err)
	require.Equal(t, "two", *text)
}

// Where the primary is down as well, what is in the table goes on for
// StaleIfError since the last proof of freshness, and nothing else does.
func TestStaleIfError(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.options.MaxStaleness = 300 * time.Millisecond
	down, other := errors.New("down"), errors.New("other")
	strict := b.process()
	b.source.StaleIfError = time.Hour
	b.source.Down = func(err error) bool { return errors.Is(err, down) }
	p := b.process()
	b.primary.secretly(key, "one")
	b.cached(strict, key, "one")
	b.cached(p, key, "one")
	defer b.drainer.rest()()
	b.becomes(func() bool { return !p.Fresh(time.Now()) && !strict.Fresh(time.Now()) })
	get := func(p *process, key cache.Key, now time.Time) error {
		text, err := p.records.Get(t.Context(), &key, now)
		if err == nil {
			require.Equal(t, "one", *text)
		}
		return err
	}

	b.primary.fail(down)
	require.NoError(t, get(p, key, time.Now()))
	require.ErrorIs(t, get(p, key, time.Now().Add(time.Hour)), down)
	require.ErrorIs(t, get(p, cache.KeyOf(2), time.Now()), down, "never cached")
	require.ErrorIs(t, get(strict, key, time.Now()), down)
	b.primary.fail(other)
	b.becomes(func() bool { return errors.Is(get(p, key, time.Now()), other) }) // when it is asked again

}

// A call that comes while a lost connection empties the table finds what it held: there
// or set aside.
func TestStaleIfErrorDuringALoss(t *testing.T) {
	t.Parallel()
	b := setup(t)
	down := errors.New("down")
	b.source.StaleIfError, b.source.Down = time.Hour, func(err error) bool { return errors.Is(err, down) }
	p := b.process()
	other := b.source
	other.Kind, other.Size = "other", 1_000_000 // takes a while
	cache.NewRecords(p.Cache, other)
	b.primary.secretly(key, "one")
	for range 20 {
		b.cached(b.fresh(p), key, "one")
		wake := b.drainer.rest()
		b.primary.fail(down)
		var reads errgroup.Group
		lost := make(chan struct{})
		for range 2 {
			reads.Go(func() error {
				for {
					if _, err := p.records.Get(t.Context(), &key, time.Now()); err != nil {
						return err
					}
					select {
					case <-lost:
						return nil
					default:
					}
				}
			})
		}
		p.Push("")
		p.Push("") // as a second connection's does
		close(lost)
		require.NoError(t, reads.Wait())
		b.primary.fail(nil)
		wake()
	}
}

// The connection is lost, and the primary is down. What the process held counts from
// the last proof of before; what it replaces itself is gone.
func TestStaleIfErrorAfterALoss(t *testing.T) {
	t.Parallel()
	b := setup(t)
	down := errors.New("down")
	strict := b.process()
	b.source.StaleIfError, b.source.Down = time.Hour, func(err error) bool { return errors.Is(err, down) }
	p := b.process()
	for n := range 2 {
		b.primary.secretly(cache.KeyOf(n), "one")
		b.cached(p, cache.KeyOf(n), "one")
		b.cached(strict, cache.KeyOf(n), "one")
	}
	wake := b.drainer.rest()
	defer wake()
	b.primary.fail(down)
	get := func(p *process, n int, now time.Time) error {
		k := cache.KeyOf(n)
		text, err := p.records.Get(t.Context(), &k, now)
		if err == nil {
			require.Equal(t, "one", *text)
		}
		return err
	}
	for range 3 { // losses
		p.Push("")
		strict.Push("")
		require.NoError(t, get(p, 0, time.Now()))
		require.ErrorIs(t, get(p, 0, time.Now().Add(time.Hour)), down)
		require.ErrorIs(t, get(strict, 0, time.Now()), down)
	}
	b.evict(p, cache.KeyOf(0))
	require.ErrorIs(t, get(p, 0, time.Now()), down)
	require.NoError(t, get(p, 1, time.Now()))
	b.primary.fail(nil)
	wake()
	b.fresh(p)
	b.becomes(func() bool { return p.records.Aside(cache.KeyOf(1)) == nil })
}

// What this process itself has replaced does not come back, either.
func TestStaleIfErrorIsNotOlderThanAnEviction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	down := errors.New("down")
	b.source.StaleIfError, b.source.Down = time.Hour, func(error) bool { return true }
	p := b.process()
	b.primary.secretly(key, "one")
	b.cached(p, key, "one")
	b.write(p, key, "two")
	b.primary.fail(down)
	text, err := p.records.Get(t.Context(), &key, time.Now().Add(b.options.MaxStaleness))
	if err == nil {
		require.Equal(t, "two", *text)
	}
}

// A primary that says nothing costs one call a short while, and the others nothing.
func TestStaleIfErrorDoesNotWait(t *testing.T) {
	t.Parallel()
	const keys = 100
	b := setup(t)
	b.options = b.options.Paced(fetchEvery, time.Hour)
	b.options.MaxStaleness = 300 * time.Millisecond
	b.source.StaleIfError = time.Hour
	b.source.Down = func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }
	p := b.process()
	for n := range keys {
		b.primary.secretly(cache.KeyOf(n), "one")
		b.cached(p, cache.KeyOf(n), "one")
	}
	defer b.drainer.rest()()
	b.becomes(func() bool { return !p.Fresh(time.Now()) })
	silence := make(chan struct{})
	defer close(silence)
	b.primary.slowDown(silence)
	before := b.primary.reads.Load()
	for n := range keys {
		require.Equal(t, "one", b.get(p, cache.KeyOf(n)))
	}
	require.EqualValues(t, 1, b.primary.reads.Load()-before)
}

// The old record goes while a call waits for a primary that is only slow: the call goes
// on waiting, until its own deadline.
func TestStaleIfErrorIsOverMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.options.MaxStaleness = 300 * time.Millisecond
	b.source.StaleIfError = time.Hour
	b.source.Down = func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }
	p := b.process()
	b.primary.secretly(key, "one")
	b.cached(p, key, "one")
	defer b.drainer.rest()()
	b.becomes(func() bool { return !p.Fresh(time.Now()) })
	silence := make(chan struct{})
	b.primary.slowDown(silence)
	before := b.primary.reads.Load()
	var err error
	var text *string
	done := make(chan struct{})
	go func() {
		defer close(done)
		text, err = p.records.Get(t.Context(), &key, time.Now())
	}()
	b.becomes(func() bool { return b.primary.reads.Load() > before })
	b.write(p, key, "two")
	b.becomes(func() bool { // it has failed, or asks again
		select {
		case <-done:
			return true
		default:
			return b.primary.reads.Load() > before+1
		}
	})
	close(silence)
	<-done
	require.NoError(t, err)
	require.Equal(t, "two", *text)
}
