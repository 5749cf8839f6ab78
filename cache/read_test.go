package cache_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
)

func TestMissFillHit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := newPrimary("one")
	first, second := b.process(), b.process()
	b.cached(first, "k", p)
	require.Equal(t, "one", b.stored("k"))
	ttl, err := b.redis.Do(t.Context(), b.redis.B().Pttl().Key(b.prefix+"k").Build()).AsInt64()
	require.NoError(t, err)
	require.Positive(t, ttl)
	require.LessOrEqual(t, ttl, b.ttl.Milliseconds())

	p.byHand("two")
	require.Equal(t, "one", b.get(first, "k", p))
	b.becomes(func() bool { return b.get(second, "k", p) == "one" })
	require.Equal(t, "other", b.get(second, "k2", newPrimary("other")))
}

func TestEmptyRecord(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, p := b.process(), newPrimary("")
	b.cached(c, "k", p)
	p.byHand("two")
	require.Empty(t, b.get(c, "k", p))
}

// A local hit asks nobody.
func TestHitNeedsNoNetwork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, _ := b.proxied()
	p := newPrimary("one")
	b.cached(c, "k", p)
	b.proxy.Stall()
	reads := p.reads.Load()
	for range 100 {
		require.Equal(t, "one", b.get(c, "k", p))
	}
	require.Equal(t, reads, p.reads.Load())
}

func TestRecordsExpire(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ttl = 50 * time.Millisecond
	c, p := b.process(), newPrimary("one")
	require.Equal(t, "one", b.get(c, "k", p))
	p.byHand("two")
	b.becomes(func() bool { return b.get(c, "k", p) == "two" })
}

func TestLoadErrorsAreNotCached(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.process()
	failed := errors.New("failed")
	key := ""
	b.becomes(func() bool {
		key += "k"
		_, err := c.Get(t.Context(), key, func(context.Context) ([]byte, error) { return []byte("half"), failed })
		require.Equal(t, failed, err)
		return b.stored(key) == "" // the lease is given up
	})
	b.cached(c, key, newPrimary("one"))
}

// While one call fills, the others read the primary and store nothing.
func TestOneCallFills(t *testing.T) {
	t.Parallel()
	b := setup(t)
	filler, other := b.process(), b.process()
	p, n := newPrimary("two"), 0
	b.becomes(func() bool { // again where the lease came too late or expired
		n++
		key := strings.Repeat("k", n)
		fill := hold(t, filler, key, "one")
		require.Equal(t, "two", b.get(filler, key, p))
		require.Equal(t, "two", b.get(other, key, p))
		require.Equal(t, "one", fill())
		return b.stored(key) == "one"
	})
	b.becomes(func() bool { return b.get(other, strings.Repeat("k", n), p) == "one" })
}

// hold begins a read whose load waits until the result is asked for.
func hold(t *testing.T, c *cache.Cache, key, value string) (result func() string) {
	t.Helper()
	loading, finish, done := make(chan struct{}), make(chan struct{}), make(chan string, 1)
	go func() {
		record, _ := c.Get(t.Context(), key, func(context.Context) ([]byte, error) {
			close(loading)
			<-finish
			return []byte(value), nil
		})
		done <- string(record)
	}()
	<-loading
	return func() string { close(finish); return <-done }
}

// A record of a wrong type hurts itself only.
func TestForeignKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, log := b.proxied()
	p, healthy := newPrimary("one"), newPrimary("two")
	require.NoError(t, b.redis.Do(t.Context(), b.redis.B().Lpush().Key(b.prefix+"k").Element("x").Build()).Error())
	b.cached(c, "healthy", healthy)
	healthy.byHand("three")
	b.undisturbed(c, log, func() {
		for range 20 {
			reads := p.reads.Load()
			require.Equal(t, "one", b.get(c, "k", p))
			require.Equal(t, reads+1, p.reads.Load())
		}
	})
	b.becomes(func() bool { return b.get(c, "healthy", healthy) == "two" })
	c.Evict(t.Context(), "k") // mends it
	b.cached(b.process(), "k", p)
}

func TestWithoutCache(t *testing.T) {
	t.Parallel()
	var c *cache.Cache
	p := newPrimary("one")
	record, err := c.Get(t.Context(), "k", p.load)
	require.NoError(t, err)
	require.Equal(t, "one", string(record))
	c.Evict(t.Context(), "k")
}

// Callers who leave say nothing about Redis.
func TestCancelledCallers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, log := b.proxied()
	p := newPrimary("one")
	b.cached(c, "k", p)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	b.undisturbed(c, log, func() {
		for range 20 {
			for _, ctx := range []context.Context{gone, late} {
				_, err := c.Get(ctx, "other", func(ctx context.Context) ([]byte, error) { return nil, ctx.Err() })
				require.Equal(t, ctx.Err(), err)
			}
		}
	})
	b.undisturbed(c, log, func() {
		b.proxy.Stall()
		defer b.proxy.Pass()
		for range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			go cancel()
			_, _ = c.Get(ctx, "another", p.load)
		}
	})
}

// Redis may use up half of a caller's time; the rest is the primary's.
func TestShortDeadlines(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, _ := b.proxied()
	b.proxy.Stall()
	inTime := false
	for range 4 { // before the breaker opens
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, _ = c.Get(ctx, "k", func(ctx context.Context) ([]byte, error) {
			inTime = inTime || ctx.Err() == nil
			return nil, nil
		})
		cancel()
	}
	require.True(t, inTime)
}
