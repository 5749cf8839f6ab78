package cache_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// failover brings back what a replica had: the heartbeat, and some keys. It
// happens while nobody is connected, and is over when a new epoch has begun.
func (b *bundle) failover(processes []*process, values map[string]string) {
	b.t.Helper()
	wake := b.drainer.rest()
	epoch := b.drainer.last.Epoch
	b.proxy.Cut()
	for name, value := range values {
		require.NoError(b.t, b.redis.Do(b.t.Context(), b.redis.B().Set().Key(name).Value(value).Build()).Error())
	}
	b.proxy.Pass()
	wake()
	for _, p := range processes {
		b.becomes(func() bool { return p.Epoch() > epoch })
	}
}

func (b *bundle) heartbeat() (name, value string) {
	b.t.Helper()
	name = b.drainer.cache.HeartbeatName()
	value, err := b.redis.Do(b.t.Context(), b.redis.B().Get().Key(name).Build()).ToString()
	require.NoError(b.t, err)
	return name, value
}

// A replica that had neither the tombstone nor the new record takes over.
func TestFailoverBringsNoRecordBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p, other := b.proxied(), b.proxied()
	b.primary.secretly(key, "one")
	b.filled(p, key, "one")
	name, beat := b.heartbeat()
	old := b.raw(key)
	b.write(p, key, "two")
	b.becomes(func() bool { _, now := b.heartbeat(); return now != beat && b.get(other, key) == "two" })
	epoch := p.Epoch()
	b.failover(nil, map[string]string{name: beat, p.Name(kind, key): old})
	b.becomes(func() bool {
		require.Equal(t, "two", b.get(p, key))
		require.Equal(t, "two", b.get(other, key))
		return p.Epoch() > epoch && other.Epoch() > epoch
	})
	for _, p := range []*process{p, other} {
		b.cached(b.fresh(p), key, "two")
	}
}

// A failover brings a lease back that a write had broken. Who holds it fills,
// but for the epoch in which he read.
func TestFailoverMendsNoLease(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p, other := b.proxied(), b.proxied()
	b.primary.secretly(key, "old")
	name, beat := b.heartbeat()
	lease, err := p.TakeLease(t.Context(), b.redis, kind, key, p.Epoch())
	require.NoError(t, err)
	raw := b.raw(key)
	require.Regexp(t, "^l", raw)
	b.primary.secretly(key, "new") // its tombstone is what was lost
	b.becomes(func() bool { _, now := b.heartbeat(); return now != beat })
	b.failover([]*process{p, other}, map[string]string{name: beat, p.Name(kind, key): raw})
	b.fresh(p)
	b.fresh(other)
	require.NoError(t, lease.Fill(t.Context(), b.redis, "old"))
	require.NotEqual(t, raw, b.raw(key))
	for range 10 {
		require.Equal(t, "new", b.get(other, key))
		require.Equal(t, "new", b.get(p, key))
	}
}
