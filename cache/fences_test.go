package cache_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
)

// stale gives a process that could not tell Redis of its write: Redis holds the
// old record, and no outbox will tell it.
func (b *bundle) stale() *process {
	b.t.Helper()
	writer := b.proxied()
	b.primary.secretly(key, "one")
	b.filled(writer, key, "one")
	b.proxy.Cut()
	b.primary.secretly(key, "two")
	b.evict(writer, key)
	return writer
}

// Redis keeps the old record, and no call of the writer's process gives it.
func TestFences(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wake := func() {}
	defer func() { wake() }()
	writer := b.stale()
	require.True(t, writer.Fenced(key))
	require.Equal(t, "two", b.get(writer, key))
	b.becomes(func() bool { return !writer.Fresh(time.Now()) })
	wake = b.drainer.rest() // nothing proves that the outbox was drained
	b.proxy.Pass()
	require.Equal(t, "one", b.stored(key))
	for range 100 {
		require.True(t, b.loaded(writer, key))
		require.Equal(t, "two", b.get(writer, key))
	}
}

// A fence falls when a heartbeat is younger than it, which says that the outbox
// has replaced what Redis holds.
func TestFencesFall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer := b.stale()
	b.primary.set(key, "three")
	b.proxy.Pass()
	b.becomes(func() bool { return !writer.Fenced(key) })
	require.Equal(t, "three", b.get(writer, key))
	b.cached(writer, key, "three")
}

// A heartbeat that is held up does not lower a fence that is younger.
func TestFencesOutliveOldHeartbeats(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer := b.proxied()
	future := func() int64 { return time.Now().Add(time.Hour).UnixMicro() }
	b.primary.secretly(key, "one")
	b.proxy.Cut()
	writer.records.Evict(t.Context(), func(context.Context) int64 { return future() }, key)
	b.proxy.Pass()
	b.becomes(func() bool { return writer.Fresh(time.Now()) })
	for range 100 {
		require.True(t, b.loaded(writer, key))
	}
	b.cached(writer, cache.KeyOf(2), "")
}

func TestFencesWhileRedisStalls(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer := b.proxied()
	b.primary.secretly(key, "one")
	b.cached(writer, key, "one")
	b.proxy.Stall()
	b.write(writer, key, "two")
	for range 100 {
		require.Equal(t, "two", b.get(writer, key))
	}
	b.write(writer, key, "three")
	b.proxy.Pass()
	require.Equal(t, "three", b.get(writer, key))
	b.cached(writer, key, "three")
}

func TestFencesBeforeRedisIsReached(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(*faultproxy.Proxy){"cut": (*faultproxy.Proxy).Cut, "stalled": (*faultproxy.Proxy).Stall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.primary.secretly(key, "one")
			b.cached(b.process(), key, "one")
			breakIt(b.proxy)
			writer := b.open(b.through)
			b.primary.secretly(key, "two")
			b.evict(writer, key)
			require.True(t, writer.Fenced(key))
			require.Equal(t, "two", b.get(writer, key))
		})
	}
}

// Beyond their bound, fences stand before every key.
func TestFencesAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer := b.proxied()
	b.proxy.Cut()
	wake := b.drainer.rest()
	keys := make([]cache.Key, 10_001)
	for n := range keys {
		keys[n] = cache.KeyOf(n)
	}
	b.evict(writer, keys[:10_000]...)
	require.False(t, writer.Fenced(cache.KeyOf(20_000)))
	b.evict(writer, keys...)
	require.True(t, writer.Fenced(cache.KeyOf(20_000)))
	wake()
	b.proxy.Pass()
	b.becomes(func() bool { return !writer.Fenced(cache.KeyOf(20_000)) && !writer.Fenced(keys[0]) })
}
