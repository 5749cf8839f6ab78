package cache_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
)

// Each of these interleavings brings an old record back as soon as the one check
// that it is about is left out: the case "without" goes past the check with a
// right it has not got, and must show the old record.

// A push between the question and the answer.
func TestTheCounterMatters(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"with": false, "without": true} {
		table := cache.NewTable[string](10)
		ticket := table.Begin(&key)
		answer := "old"        // is read here,
		table.Invalidate(&key) // replaced here,
		if name == "without" {
			ticket = table.Begin(&key)
		}
		require.Equal(t, want, ticket.Store(answer), name) // and arrives here
		require.Equal(t, want, table.Get(&key) != nil, name)
	}
}

// The same for a table that was flushed.
func TestTheFlushMatters(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"with": false, "without": true} {
		table := cache.NewTable[string](10)
		ticket := table.Begin(&key)
		table.Flush()
		if name == "without" {
			ticket = table.Begin(&key)
		}
		require.Equal(t, want, ticket.Store("old"), name)
		require.Equal(t, want, table.Get(&key) != nil, name)
	}
}

// A write between a filler's look at the primary and its fill of Redis. Without
// the check, it fills in place of whatever stands.
func TestTheLeaseMatters(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"with": "new", "without": "old"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			writer, reader := b.process(), b.process()
			lease, err := writer.TakeLease(t.Context(), b.redis, kind, key, writer.Epoch())
			require.NoError(t, err)
			b.primary.secretly(key, "new") // the filler has read "old"
			b.evict(writer, key)
			if name == "without" {
				lease = lease.With(b.raw(key))
			}
			require.NoError(t, lease.Fill(t.Context(), b.redis, "old"))
			require.Equal(t, want, b.get(reader, key))
		})
	}
}

// The same on the process's own way: it is stopped between its lease and its fill.
func TestAWriteBetweenLeaseAndFill(t *testing.T) {
	t.Parallel()
	b := setup(t)
	filler, writer := b.proxied(), b.process()
	b.primary.secretly(key, "old")
	struck := b.proxy.On(faultproxy.ToServer, fmt.Sprintf("v%d old", filler.Epoch()), faultproxy.StallBefore)
	require.Equal(t, "old", b.get(filler, key))
	<-struck
	require.Regexp(t, "^l", b.raw(key))
	b.primary.secretly(key, "new")
	b.evict(writer, key)
	b.proxy.Pass()
	b.becomes(func() bool { // what comes behind the fill on its connection is through
		return filler.Tell(t.Context(), kind, []cache.Key{cache.KeyOf(2)}) == nil
	})
	require.NotRegexp(t, "^v", b.raw(key))
	require.Equal(t, "new", b.get(writer, key))
}

// A record that was there before Redis lost writes.
func TestTheEpochMatters(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"with": "new", "without": "old"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			reader := b.process()
			epoch := reader.Epoch() - 1
			if name == "without" {
				epoch = reader.Epoch()
			}
			lease, err := reader.TakeLease(t.Context(), b.redis, kind, key, epoch)
			require.NoError(t, err)
			require.NoError(t, lease.Fill(t.Context(), b.redis, "old"))
			b.primary.secretly(key, "new")
			require.Equal(t, want, b.get(reader, key))
		})
	}
}

// A write of a record that Redis does not hold, but a process does. Deleting
// what is not there would be pushed to nobody.
func TestTheTombstoneMatters(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"with": "new", "without": "old"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			writer, reader := b.process(), b.process()
			b.primary.secretly(key, "old")
			b.filled(reader, key, "old")
			b.drop(key)
			b.primary.secretly(key, "new")
			if name == "with" {
				b.evict(writer, key)
			} else {
				b.drop(key)
			}
			b.pushed(reader)
			require.Equal(t, want, b.get(reader, key))
		})
	}
}

// pushed waits until a process has got every push that was sent before: another
// key's arrives behind them.
func (b *bundle) pushed(p *process) {
	b.t.Helper()
	last := cache.KeyOf(1_000_000)
	b.cached(p, last, "")
	require.NoError(b.t, b.drainer.cache.Tell(b.t.Context(), kind, []cache.Key{last}))
	b.becomes(func() bool { return p.records.Unknown() == 0 || b.loaded(p, last) })
}

// A write that could not be told: without the fence the writer's own process
// would take the old record from Redis.
func TestTheFenceMatters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer, bare := b.process(), b.process()
	b.primary.secretly(key, "old")
	b.filled(bare, key, "old")
	b.primary.secretly(key, "new")
	writer.Fence(key)
	require.Equal(t, "new", b.get(writer, key))
	require.Equal(t, "old", b.get(bare, key))
}
