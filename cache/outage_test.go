package cache_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
)

const (
	silent  = "WARN relaystore: Redis does not answer, going on without a cache until it does"
	answers = "INFO relaystore: Redis answers again, the cache is on"
)

func TestRedisAppearsLater(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(*faultproxy.Proxy){"cut": (*faultproxy.Proxy).Cut, "stalled": (*faultproxy.Proxy).Stall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			breakIt(b.proxy)
			p := b.open(b.through)
			b.primary.secretly(key, "one")
			for range 20 {
				require.True(t, b.loaded(p, key))
			}
			tries := b.proxy.Accepted()
			b.becomes(func() bool { return b.proxy.Accepted() >= tries+2 })
			require.Len(t, p.log.texts(), 1)

			b.proxy.Pass()
			b.cached(b.fresh(p), key, "one")
			require.Equal(t, []string{
				"WARN relaystore: Redis is not reachable, going on without a cache until it is",
				"INFO relaystore: Redis is reachable, the cache is on",
			}, p.log.texts())
		})
	}
}

func TestRequireRedis(t *testing.T) {
	t.Parallel()
	b := setup(t)
	opts := b.options
	opts.URL, opts.Require, opts.Logger = b.through, true, slog.New(&lines{})
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

// Reads go on, the log says it once however often the breaker tries, and what
// changed meanwhile is not missed.
func TestOutage(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(*faultproxy.Proxy){"cut": (*faultproxy.Proxy).Cut, "stalled": (*faultproxy.Proxy).Stall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			p := b.proxied()
			b.primary.secretly(key, "one")
			b.cached(p, key, "one")
			breakIt(b.proxy)
			b.becomes(func() bool { return b.loaded(p, key) && len(p.log.texts()) == 1 })
			tries := b.proxy.Accepted()
			b.becomes(func() bool { return b.get(p, key) == "one" && b.proxy.Accepted() >= tries+2 })
			require.Equal(t, []string{silent}, p.log.texts())

			b.primary.set(key, "two")
			b.settled(key)
			require.Equal(t, "two", b.get(p, key))
			b.proxy.Pass()
			b.cached(b.fresh(p), key, "two")
			require.Equal(t, []string{silent, answers}, p.log.texts())
		})
	}
}

// A silent Redis holds up a miss for less time than its client takes to give the
// connection up.
func TestAMissDoesNotWaitForASilentRedis(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.proxied()
	b.primary.secretly(key, "one")
	b.proxy.Stall()
	require.Equal(t, "one", b.get(p, key))
	require.NotZero(t, p.Epoch(), "the connection is still there")
}

// Each lost connection empties the process's own table.
func TestConnectionLossStartsClean(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.proxied()
	b.primary.secretly(key, "one")
	b.cached(p, key, "one")
	b.cached(p, cache.KeyOf(2), "")
	b.proxy.CutOnce()
	b.becomes(func() bool { return p.records.Known() == 0 && p.records.Unknown() == 0 })
	b.drop(key)
	b.primary.secretly(key, "two")
	b.primary.secretly(cache.KeyOf(2), "two")
	b.cached(b.fresh(p), key, "two")
	b.cached(p, cache.KeyOf(2), "two")
}

func TestCloseIsIdempotent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.proxied()
	b.proxy.Cut()
	searching := b.open(b.through)
	b.primary.secretly(key, "one")
	for range 2 {
		for _, p := range []*process{p, searching} {
			p.Close()
			require.Equal(t, "one", b.get(p, key))
			b.evict(p, key)
			require.False(t, p.Fresh(time.Now()))
		}
	}
	b.proxy.Pass()
	require.False(t, searching.Fresh(time.Now()))
	(*cache.Cache)(nil).Close()
}
