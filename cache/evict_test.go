package cache_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
)

func TestEvict(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer, other := b.process(), b.process()
	keys := []cache.Key{cache.KeyOf(1), cache.KeyOf(2), cache.KeyOf(3)}
	for _, k := range keys {
		b.primary.secretly(k, "one")
		b.cached(writer, k, "one")
		b.cached(other, k, "one")
		b.primary.secretly(k, "two") // no outbox: the writer's own push is enough
	}
	b.evict(writer, keys...)
	for _, k := range keys { // at once here, and when the push has arrived there
		require.Equal(t, "two", b.get(writer, k))
		b.becomes(func() bool { return b.get(other, k) == "two" })
	}
	b.evict(writer) // nothing
}

// By hand: the outbox alone tells it, and does so to the drainer's own process.
func TestOutboxEvicts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.process()
	b.primary.secretly(key, "one")
	b.cached(p, key, "one")
	b.primary.set(key, "two")
	b.becomes(func() bool { return b.get(p, key) == "two" })
	b.primary.remove(key)
	b.becomes(func() bool { return b.get(p, key) == "" })

	own := &process{Cache: b.drainer.cache, records: cache.NewRecords(b.drainer.cache, b.source)}
	b.primary.secretly(key, "three")
	require.NoError(t, own.Tell(t.Context(), kind, []cache.Key{key}))
	b.cached(b.fresh(own), key, "three")
	wake := b.drainer.rest()
	defer wake()
	b.primary.secretly(key, "four")
	require.NoError(t, own.Tell(t.Context(), kind, []cache.Key{key}))
	require.Equal(t, "four", b.get(own, key))
	require.NoError(t, own.Tell(t.Context(), "another kind", []cache.Key{key}))
}

// An unknown key that is made: at once in the writer's process, and elsewhere
// after the push.
func TestUnknownKeyIsCreated(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer, other := b.process(), b.process()
	b.cached(writer, key, "")
	b.cached(other, key, "")
	b.write(writer, key, "one")
	require.Equal(t, "one", b.get(writer, key))
	b.becomes(func() bool { return b.get(other, key) == "one" })
	b.primary.remove(key)
	b.evict(writer, key)
	require.Empty(t, b.get(writer, key))
	b.becomes(func() bool { return b.get(other, key) == "" })
}

func TestEvictWorksForACancelledCaller(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer, other := b.process(), b.process()
	b.primary.secretly(key, "one")
	b.cached(other, key, "one")
	b.primary.secretly(key, "two")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	writer.records.Evict(ctx, b.primary.clock, key)
	b.becomes(func() bool { return b.get(other, key) == "two" })
	require.False(t, writer.Fenced(key))
}

// A load that began before the write holds an old answer.
func TestEvictBreaksLeases(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer, other := b.process(), b.process()
	for n, p := range []*process{writer, other} {
		k := cache.KeyOf(n)
		b.primary.secretly(k, "old")
		fill := b.hold(p, k)
		b.primary.secretly(k, "new")
		b.evict(writer, k)
		require.Equal(t, "old", fill())
		require.Equal(t, "t", b.raw(k))
		require.Equal(t, "new", b.get(writer, k))
		b.becomes(func() bool { return b.get(other, k) == "new" })
	}
}

// As above, and somebody is filling the key with the new answer since.
func TestAnOldLoadDoesNotReplaceALaterOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer, other, third := b.process(), b.process(), b.process()
	b.primary.secretly(key, "old")
	fill := b.hold(other, key)
	b.write(writer, key, "new")
	b.settled(key)
	later := b.hold(third, key)
	require.Equal(t, "old", fill())
	require.Equal(t, "new", later())
	b.filled(third, key, "new")
	b.becomes(func() bool { return b.get(other, key) == "new" })
}

// Callers who come after the writer do not join a load from before it.
func TestCallersAfterAnEvictionDoNotJoin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer := b.process()
	for n, cached := range []bool{true, false} {
		k := cache.KeyOf(n)
		p := writer
		if !cached {
			p = &process{records: cache.NewRecords(nil, b.source)}
		}
		b.primary.secretly(k, "old")
		fill := b.hold(p, k)
		b.primary.secretly(k, "new")
		b.evict(p, k)
		require.Equal(t, "new", b.get(p, k))
		require.Equal(t, "old", fill())
		require.Equal(t, "new", b.get(p, k))
	}
}
