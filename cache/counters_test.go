package cache_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
)

// Each look-up counts once: hits of the table, of Redis and of what is known to be
// unknown, and misses, which are exactly the loads.
func TestCounters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.process(), b.process()
	b.primary.set(key, "one")
	b.settled(key)
	b.filled(first, key, "one")

	before, reads := second.Counters()[kind], b.primary.reads.Load()
	for range 20 {
		require.Equal(t, "one", b.get(second, key))
		require.Empty(t, b.get(second, cache.KeyOf(2)))
		b.get(second, cache.KeyOf(3))
		b.evict(second, cache.KeyOf(3))
	}
	after := second.Counters()[kind]
	require.Equal(t, b.primary.reads.Load()-reads, after.Misses-before.Misses)
	require.GreaterOrEqual(t, after.Misses-before.Misses, int64(20), "what is evicted is asked for")
	require.EqualValues(t, 60, after.Hits+after.Misses-before.Hits-before.Misses)
	require.Zero(t, second.Failures())
	require.False(t, second.Off())
}

// A record that another process has put into Redis spares the primary: a hit.
func TestRedisHitsCount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.process(), b.process()
	b.primary.set(key, "one")
	b.settled(key)
	b.filled(first, key, "one")
	require.Equal(t, "one", b.get(second, key))
	require.Equal(t, cache.Counters{Hits: 1}, second.Counters()[kind])
}

// While Redis is away it stays off, between the trials as well: who looks now and then
// must not see it on.
func TestOffUntilATrialIsAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.primary.set(key, "one")
	p := b.proxied()
	b.proxy.Cut()
	b.becomes(func() bool { b.evict(p, key); return p.Off() })
	for begun := time.Now(); time.Since(begun) < 10*breakerPause; {
		require.True(t, p.Off())
	}
	b.proxy.Pass()
	b.becomes(func() bool { b.evict(p, key); return !p.Off() })
}

// A failed load is a miss as well, and so is one that its caller has left.
func TestFailedLookupsAreMisses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.process()
	b.primary.fail(errors.New("down"))
	before := p.Counters()[kind]
	_, err := p.records.Get(t.Context(), &key, time.Now())
	require.Error(t, err)
	after := p.Counters()[kind]
	require.EqualValues(t, 1, after.Misses-before.Misses)
	require.Equal(t, before.Hits, after.Hits)
}

func TestNoCacheCountsNothing(t *testing.T) {
	t.Parallel()
	var none *cache.Cache
	require.Empty(t, none.Counters())
	require.Zero(t, none.Failures())
	require.True(t, none.Off())
}
