package strategy_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/strategy"
)

// listener starts a drainer that hears of changes through a proxy.
func (b *outboxBundle) listener(every time.Duration) (*strategy.Outbox, *faultproxy.Proxy) {
	b.Helper()
	proxy, url := faultproxy.Postgres(b, b.pool.Config().ConnString())
	o := b.drainer()
	var err error
	o.Listen, err = pgx.ParseConfig(url)
	require.NoError(b, err)
	o.Every(every)
	return o, proxy
}

func (b *outboxBundle) start(o *strategy.Outbox) {
	o.Start()
	b.Cleanup(o.Close)
}

// Nothing but notifications tells this drainer, and those that were sent while its
// connection was lost are gone: it looks into the outbox when it has another.
func TestListenerCatchesUp(t *testing.T) {
	b := setupOutbox(t)
	o, proxy := b.listener(time.Hour)
	b.start(o)
	b.insert("one")
	b.eventually(func() bool { return b.waiting() == 0 })
	proxy.Cut()
	b.eventually(func() bool { return b.listening() == 0 })
	b.insert("two")
	proxy.Pass()
	b.eventually(func() bool { return b.waiting() == 0 })
	b.insert("three")
	b.eventually(func() bool { return b.waiting() == 0 })
}

// Without notifications, the drainer looks by itself.
func TestDrainerWorksWithoutNotifications(t *testing.T) {
	b := setupOutbox(t)
	o, proxy := b.listener(10 * time.Millisecond)
	proxy.Cut()
	b.start(o)
	for _, name := range []string{"one", "two"} {
		b.insert(name)
		b.eventually(func() bool { return b.waiting() == 0 })
	}
}

// What one drainer is telling, another does not wait for.
func TestDrainersDoNotWaitForEachOther(t *testing.T) {
	b := setupOutbox(t)
	b.insert("one")
	telling, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = telling.Exec(t.Context(), "SELECT FROM cache_outbox FOR UPDATE")
	require.NoError(t, err)
	b.insert("two")
	b.insert("three")
	b.drain()
	b.eventually(func() bool { return b.waiting() == 1 })
	require.NoError(t, telling.Rollback(t.Context()))
	b.eventually(func() bool { return b.waiting() == 0 })
}

func (b *outboxBundle) listening() (n int) {
	b.Helper()
	require.NoError(b, b.pool.QueryRow(b.Context(), "SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN relaystore_cache' AND datname = current_database()").Scan(&n))
	return n
}
