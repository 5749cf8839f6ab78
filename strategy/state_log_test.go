package strategy_test

import (
	"bytes"
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testdb"
)

// logged is a log that two sides use.
type logged struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *logged) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.all.String(), what)
}

// Redis is away while changes go on, each of which wakes the drainer: it says so once,
// and once that it is over.
func TestOneLineAStateChange(t *testing.T) {
	var proxy *faultproxy.Proxy
	b := setupOutbox(t, func(o *cache.Options) { proxy, o.URL = faultproxy.Redis(t, testdb.RedisURL(t)) })
	o, log := b.drainer(), &logged{}
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	o.Every(20 * time.Millisecond)
	b.start(o)
	b.eventually(func() bool { return b.epoch() > 0 && o.Cache.Epoch() > 0 })
	const fails, again = "cannot be told", "told to Redis again"
	for outage := 1; outage <= 2; outage++ {
		proxy.Cut()
		b.eventually(func() bool { return log.count(fails) == outage && o.Cache.Epoch() == 0 })
		for n := range 3 { // each wakes the drainer, between its ticks and at them
			turns := b.commits()
			b.insert(strings.Repeat("x", outage) + strings.Repeat("y", n))
			b.eventually(func() bool { return b.commits() >= turns+4 })
		}
		require.Equal(t, outage, log.count(fails))
		require.Equal(t, outage-1, log.count(again))
		proxy.Pass()
		b.eventually(func() bool { return log.count(again) == outage && b.waiting() == 0 })
	}
	require.Equal(t, 2, log.count(fails))
}

// commits counts the database's transactions, most of which are the drainer's turns.
func (b *outboxBundle) commits() (n int64) {
	b.Helper()
	require.NoError(b, b.pool.QueryRow(b.Context(), "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()").Scan(&n))
	return n
}

// An old snapshot keeps the room of what is deleted. The outbox holds no rows all the
// same, grows by what a change costs alone, and gives the room back afterwards.
func TestOutboxUnderAnOldSnapshot(t *testing.T) {
	const changes = 2000
	b := setupOutbox(t)
	b.insert("before")
	old, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = old.Exec(t.Context(), "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
	require.NoError(t, err)
	_, err = old.Exec(t.Context(), "SELECT FROM api_keys")
	require.NoError(t, err)
	b.drain()
	t.Cleanup(func() { _ = old.Rollback(context.WithoutCancel(t.Context())) })
	for n := range changes / 100 {
		b.exec("INSERT INTO cache_outbox (kind, key) SELECT 'apikey', sha256(convert_to($1::text || n, 'UTF8')) FROM generate_series(1, 100) AS n", strconv.Itoa(n))
	}
	b.eventually(func() bool { return b.waiting() == 0 })
	size := func() (bytes int64) {
		require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT pg_total_relation_size('cache_outbox')").Scan(&bytes))
		return bytes
	}
	require.Less(t, size(), int64(changes*256))
	require.NoError(t, old.Rollback(t.Context()))
	b.eventually(func() bool {
		b.exec("VACUUM cache_outbox")
		var heap int64
		require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT pg_relation_size('cache_outbox')").Scan(&heap))
		return heap < 64<<10
	})
}
