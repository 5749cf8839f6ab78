package cache_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
)

func TestEvict(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer, other := b.process(), b.process()
	keys := []string{"a", "b", "c"}
	p := newPrimary("one")
	for _, k := range keys {
		b.cached(writer, k, p)
		b.cached(other, k, p)
	}
	p.value.Store("two")
	writer.Evict(t.Context(), keys...)
	for _, k := range keys { // at once here, and when the push has arrived there
		require.Equal(t, "two", b.get(writer, k, p))
		b.becomes(func() bool { return b.get(other, k, p) == "two" })
	}
	b.becomes(func() bool { return b.get(other, "a", p) == "two" && b.stored("a") == "two" })
	writer.Evict(t.Context()) // nothing
	require.Equal(t, "two", b.stored("a"))
}

func TestEvictWorksForACancelledCaller(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer, other := b.process(), b.process()
	p := newPrimary("one")
	b.cached(other, "k", p)
	p.value.Store("two")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	writer.Evict(ctx, "k")
	require.Empty(t, b.stored("k"))
	b.becomes(func() bool { return b.get(other, "k", p) == "two" })
}

// A load that began before the write holds an old answer.
func TestEvictBreaksLeases(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer, other := b.process(), b.process()
	for key, c := range map[string]*cache.Cache{"by the writer's process": writer, "by another": other} {
		fill := hold(t, c, key, "old")
		writer.Evict(t.Context(), key)
		require.Equal(t, "old", fill())
		require.Empty(t, b.stored(key))
		p := newPrimary("new")
		require.Equal(t, "new", b.get(c, key, p))
		b.cached(other, key, p)
	}
}

// As above, and somebody has filled the key with the new answer since.
func TestBrokenLeaseDoesNotReplaceALaterFill(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer, other, third := b.process(), b.process(), b.process()
	fill := hold(t, other, "k", "old")
	writer.Evict(t.Context(), "k")
	p := newPrimary("new")
	b.cached(third, "k", p)
	require.Equal(t, "old", fill())
	require.Equal(t, "new", b.stored("k"))
	b.becomes(func() bool { return b.get(other, "k", p) == "new" })
}

// A lease that somebody else took since is not the old load's, either.
func TestBrokenLeaseDoesNotUseALaterOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer, other, third := b.process(), b.process(), b.process()
	fill := hold(t, other, "k", "old")
	writer.Evict(t.Context(), "k")
	later := hold(t, third, "k", "new")
	require.Equal(t, "old", fill())
	require.NotEqual(t, "old", b.stored("k"))
	require.Equal(t, "new", later())
	b.cached(third, "k", newPrimary("new"))
}

// Redis keeps the old record, and no call of the writer's process gives it.
func TestFences(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer, _ := b.proxied()
	p := newPrimary("one")
	b.cached(writer, "k", p)
	b.proxy.Cut()
	p.value.Store("two")
	writer.Evict(t.Context(), "k")
	require.Equal(t, "two", b.get(writer, "k", p))
	b.proxy.Pass()
	b.becomes(func() bool { return b.get(writer, "other", newPrimary("x")) == "x" && writer.Reachable() })
	require.Equal(t, "one", b.stored("k"))
	for range 100 {
		before := p.reads.Load()
		require.Equal(t, "two", b.get(writer, "k", p))
		require.Equal(t, before+1, p.reads.Load())
	}
}

// A load that began before the write fills after it, since its lease could not
// be broken. The fence outlives that copy, too.
func TestFencesOutliveLeases(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ttl = 500 * time.Millisecond
	writer, _ := b.proxied()
	fill := hold(t, b.process(), "k", "old")
	b.proxy.Cut()
	writer.Evict(t.Context(), "k")
	b.proxy.Pass()
	require.Equal(t, "old", fill())
	p := newPrimary("new")
	for b.stored("k") != "" {
		require.Equal(t, "new", b.get(writer, "k", p))
	}
}

func TestFencesEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ttl = 200 * time.Millisecond
	writer, _ := b.proxied()
	b.proxy.Cut()
	writer.Evict(t.Context(), "k")
	b.proxy.Pass()
	b.cached(writer, "k", newPrimary("one"))
}

func TestFencesWhileRedisStalls(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer, _ := b.proxied()
	p := newPrimary("one")
	b.cached(writer, "k", p)
	b.proxy.Stall()
	p.value.Store("two")
	writer.Evict(t.Context(), "k")
	for range 100 { // the local copy is still there, and not used
		require.Equal(t, "two", b.get(writer, "k", p))
	}
	p.value.Store("three")
	b.proxy.Pass()
	require.Equal(t, "three", b.get(writer, "k", p))
}

func TestFencesBeforeRedisIsReached(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := newPrimary("one")
	b.cached(b.process(), "k", p)
	b.proxy.Cut()
	writer, _ := b.proxied()
	p.value.Store("two")
	writer.Evict(t.Context(), "k")
	b.proxy.Pass()
	b.becomes(writer.Reachable)
	require.Equal(t, "one", b.stored("k"))
	require.Equal(t, "two", b.get(writer, "k", p))
}
