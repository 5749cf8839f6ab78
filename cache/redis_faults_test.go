package cache_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/internal/testdb"
)

// private gives a bundle on a Redis that no other test uses, and its process id.
func private(t *testing.T) (*bundle, int) {
	t.Helper()
	stack, err := devstack.Start(t.Context(), devstack.Options{SkipPostgres: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stack.Close()) })
	return setupOn(t, stack.RedisURL, testdb.RedisAt(t, stack.RedisURL), "private:"), stack.PIDs()[0]
}

// A stopped Redis keeps its sockets open and says nothing.
func TestRedisStopped(t *testing.T) {
	t.Parallel()
	b, pid := private(t)
	b.options.MaxStaleness = 300 * time.Millisecond
	p, writer := b.process(), b.process()
	b.primary.secretly(key, "one")
	b.cached(p, key, "one")
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	b.write(writer, key, "two")
	require.Equal(t, "two", b.get(writer, key))
	b.bounded(p, time.Now(), "two")
	b.becomes(func() bool { return len(p.log.texts()) == 1 && len(writer.log.texts()) == 1 })
	for range 100 {
		require.True(t, b.loaded(p, key))
	}
	require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	for _, p := range []*process{p, writer} {
		b.cached(b.fresh(p), key, "two")
		b.becomes(func() bool { return len(p.log.texts()) == 2 })
		require.Equal(t, []string{silent, answers}, p.log.texts())
	}
}

// A flush is pushed, and begins a new epoch, also for a fill that is under way.
func TestRedisFlushed(t *testing.T) {
	t.Parallel()
	b, _ := private(t)
	p, other := b.process(), b.process()
	b.primary.secretly(key, "one")
	b.cached(p, key, "one")
	second := cache.KeyOf(2)
	b.primary.secretly(second, "old")
	fill := b.hold(p, second)
	epoch := p.Epoch()
	require.NoError(t, b.redis.Do(t.Context(), b.redis.B().Flushdb().Build()).Error())
	b.primary.secretly(key, "two") // no push tells this
	b.primary.secretly(second, "new")
	b.becomes(func() bool { return p.Epoch() > epoch })
	require.Equal(t, "old", fill(), "it began before")
	for _, p := range []*process{b.fresh(p), b.fresh(other)} {
		b.cached(p, key, "two")
		b.cached(p, second, "new")
	}
	require.Empty(t, p.log.texts())
}

// A restart without its data loses the connections, the records and the heartbeat
// in one moment.
func TestRedisRestartedEmpty(t *testing.T) {
	t.Parallel()
	server := testdb.RedisServer(t)
	b := setupOn(t, server.URL(), testdb.RedisAt(t, server.URL()), "private:")
	p, other := b.process(), b.process()
	b.primary.secretly(key, "one")
	b.cached(p, key, "one")
	epoch := p.Epoch()
	server.Kill()
	b.primary.secretly(key, "two")
	b.becomes(func() bool { return !p.Fresh(time.Now()) }) // it has noticed
	for range 100 {
		require.Equal(t, "two", b.get(p, key))
	}
	require.NoError(t, server.Start(t.Context()))
	for _, p := range []*process{p, other} {
		b.becomes(func() bool { return p.Epoch() > epoch })
		b.cached(b.fresh(p), key, "two")
	}
}
