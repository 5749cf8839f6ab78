package cache_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
)

func TestRedisAppearsLater(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(*faultproxy.Proxy){"cut": (*faultproxy.Proxy).Cut, "stalled": (*faultproxy.Proxy).Stall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			breakIt(b.proxy)
			c, log := b.proxied()
			require.False(t, c.Reachable())
			p := newPrimary("one")
			for range 20 {
				require.Equal(t, "one", b.get(c, "k", p))
			}
			require.EqualValues(t, 20, p.reads.Load())
			tries := b.proxy.Accepted()
			b.becomes(func() bool { return b.proxy.Accepted() >= tries+2 })
			require.Len(t, log.texts(), 1)

			b.proxy.Pass()
			b.becomes(c.Reachable)
			b.cached(c, "k", p)
			b.becomes(func() bool { return len(log.texts()) == 2 })
			require.Equal(t, []string{
				"WARN relaystore: Redis is not reachable, going on without a cache until it is",
				"INFO relaystore: Redis is reachable, the cache is on",
			}, log.texts())
		})
	}
}

func TestRequireRedis(t *testing.T) {
	t.Parallel()
	b := setup(t)
	opts := cache.Options{URL: b.url, Prefix: b.prefix, TTL: b.ttl, Require: true, Logger: slog.New(&lines{})}
	c, err := cache.Open(t.Context(), opts)
	require.NoError(t, err)
	c.Close()
	for _, breakIt := range []func(){b.proxy.Cut, b.proxy.Stall, b.proxy.Close} {
		breakIt()
		_, err = cache.Open(t.Context(), opts)
		require.Error(t, err)
	}
}

func TestWrongURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "http://h", "redis://u:secret@h:port", "redis://u:secret@h/x", "\x00secret"} {
		_, err := cache.Open(t.Context(), cache.Options{URL: url, Logger: slog.New(&lines{})})
		require.Error(t, err, url)
		require.NotContains(t, err.Error(), "secret")
	}
}

// Reads go on, and the log says it once however often the breaker tries.
func TestOutage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, log := b.proxied()
	p := newPrimary("one")
	b.cached(c, "k", p)
	b.proxy.Cut()
	b.becomes(func() bool { return b.get(c, "k", p) == "one" && !c.Reachable() })
	require.Len(t, log.texts(), 1)
	tries := b.proxy.Accepted()
	b.becomes(func() bool { return b.get(c, "k", p) == "one" && b.proxy.Accepted() >= tries+3 })
	require.Len(t, log.texts(), 1)

	p.value.Store("two") // elsewhere, while this process hears nothing
	require.NoError(t, b.redis.Do(t.Context(), b.redis.B().Del().Key(b.prefix+"k").Build()).Error())
	b.proxy.Pass()
	b.becomes(func() bool { return b.get(c, "k2", p) == "two" && c.Reachable() })
	require.Equal(t, "two", b.get(c, "k", p))
	b.cached(c, "k", p)
	require.Equal(t, []string{
		"WARN relaystore: Redis does not answer, going on without a cache until it does",
		"INFO relaystore: Redis answers again, the cache is on",
	}, log.texts())
}

func TestStalledRedis(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, log := b.proxied()
	p := newPrimary("one")
	b.cached(c, "k", p)
	b.proxy.Stall()
	n := 0
	b.becomes(func() bool { // each key is a miss that has to ask
		n++
		return b.get(c, strings.Repeat("x", n), p) == "one" && !c.Reachable()
	})
	require.GreaterOrEqual(t, n, 5)
	reads := p.reads.Load()
	for range 100 {
		require.Equal(t, "one", b.get(c, "k", p))
	}
	require.Greater(t, p.reads.Load(), reads, "an open breaker leaves out the local copies, too")
	b.proxy.Pass()
	b.becomes(func() bool { return b.get(c, "y", p) == "one" && c.Reachable() })
	b.cached(c, "k", p)
	require.Len(t, log.texts(), 2)
}

func TestCloseIsIdempotent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, _ := b.proxied()
	b.proxy.Cut()
	searching, _ := b.proxied()
	p := newPrimary("one")
	for range 2 {
		c.Close()
		searching.Close()
		require.Equal(t, "one", b.get(c, "k", p))
		c.Evict(t.Context(), "k")
		require.False(t, c.Reachable())
	}
	b.proxy.Pass()
	require.False(t, searching.Reachable())
}
