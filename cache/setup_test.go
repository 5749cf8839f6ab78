package cache_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testdb"
)

// patience is how long a condition may take to come true.
const patience = time.Minute

// bundle is one Redis with keys of the test's own, reached through a proxy by
// the process under test and directly by the others.
type bundle struct {
	t      *testing.T
	prefix string
	ttl    time.Duration
	proxy  *faultproxy.Proxy
	url    string // through the proxy
	redis  rueidis.Client
}

func setup(t *testing.T) bundle {
	t.Helper()
	b := bundle{t: t, prefix: testdb.Prefix(t), ttl: time.Hour, redis: testdb.Redis(t)}
	b.proxy, b.url = faultproxy.Redis(t, testdb.RedisURL(t))
	return b
}

// process opens the cache of one more process.
func (b bundle) process() *cache.Cache {
	b.t.Helper()
	c, _ := b.open(testdb.RedisURL(b.t))
	return c
}

// proxied opens the cache of a process behind the proxy, and gives its log.
func (b bundle) proxied() (*cache.Cache, *lines) {
	b.t.Helper()
	return b.open(b.url)
}

func (b bundle) open(url string) (*cache.Cache, *lines) {
	b.t.Helper()
	log := &lines{}
	c, err := cache.Open(b.t.Context(), cache.Options{URL: url, Prefix: b.prefix, TTL: b.ttl, Logger: slog.New(log)})
	require.NoError(b.t, err)
	b.t.Cleanup(c.Close)
	return c, log
}

// stored is what Redis holds for a key, "" for nothing.
func (b bundle) stored(key string) string {
	b.t.Helper()
	text, err := b.redis.Do(b.t.Context(), b.redis.B().Get().Key(b.prefix+key).Build()).ToString()
	if rueidis.IsRedisNil(err) {
		return ""
	}
	require.NoError(b.t, err)
	return text
}

// primary is a record in the database, and how often it was read.
type primary struct {
	value atomic.Value
	reads atomic.Int64
}

func newPrimary(value string) *primary {
	p := &primary{}
	p.value.Store(value)
	return p
}

func (p *primary) load(context.Context) ([]byte, error) {
	p.reads.Add(1)
	return []byte(p.value.Load().(string)), nil
}

// get reads a key that the primary holds.
func (b bundle) get(c *cache.Cache, key string, p *primary) string {
	b.t.Helper()
	record, err := c.Get(b.t.Context(), key, p.load)
	require.NoError(b.t, err)
	return string(record)
}

// byHand changes a record so that no cache hears of it: who still gives the old
// value has it from a cache.
func (p *primary) byHand(value string) { p.value.Store(value) }

// cached reads until the primary is not asked any more: an answer of Redis that
// comes too late on a loaded machine is a miss.
func (b bundle) cached(c *cache.Cache, key string, p *primary) {
	b.t.Helper()
	b.becomes(func() bool {
		before := p.reads.Load()
		require.Equal(b.t, p.value.Load(), b.get(c, key, p))
		return p.reads.Load() == before
	})
}

func (b bundle) becomes(condition func() bool) {
	b.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); !condition(); {
		select {
		case <-tick.C:
		case <-late:
			require.Fail(b.t, "it did not become true")
		}
	}
}

// undisturbed wants that f leaves the breaker closed and logs nothing. It tries
// again, as a loaded machine may make Redis slow five times in a row.
func (b bundle) undisturbed(c *cache.Cache, log *lines, f func()) {
	b.t.Helper()
	b.becomes(func() bool {
		before := len(log.texts())
		if !c.Reachable() {
			b.get(c, "trial", newPrimary("x"))
			return false
		}
		f()
		return c.Reachable() && len(log.texts()) == before
	})
}

// lines is a log.
type lines struct {
	slog.Handler
	mu  sync.Mutex
	all []string
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, r.Level.String()+" "+r.Message)
	return nil
}

func (l *lines) texts() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, l.all...)
}
