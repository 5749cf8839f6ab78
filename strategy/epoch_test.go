package strategy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testdb"
)

// enter writes the heartbeat of an epoch into Redis, and into PostgreSQL.
func (b *outboxBundle) enter(epoch int64) {
	b.Helper()
	held, server, err := b.cache.ReadHeartbeat(b.Context())
	require.NoError(b, err)
	require.NoError(b, b.cache.ReplaceHeartbeat(b.Context(), held, cache.Heartbeat{Epoch: epoch, Beat: epoch}))
	b.exec("UPDATE cache_heartbeat SET epoch = $1, beat = $1, server = $2", epoch, server)
}

// A process is cut off together with a Redis that is not the others' any more. It
// hears of changes, and must leave them to those whom the others hear.
func TestOnlyTheHeartbeatsRedisIsTold(t *testing.T) {
	b := setupOutbox(t)
	b.enter(1)
	o := b.drainer()
	b.eventually(func() bool { return o.Cache.Epoch() == 1 })
	b.insert("one")
	b.exec("UPDATE cache_heartbeat SET epoch = 2")
	require.NoError(t, o.TellAll(t.Context()))
	require.Equal(t, 1, b.waiting())
	b.exec("UPDATE cache_heartbeat SET epoch = 1")
	require.NoError(t, o.TellAll(t.Context()))
	require.Zero(t, b.waiting())
}

// The same, where the connection moves to such a Redis between the look at the
// outbox and the tell.
func TestATellOnAnotherConnectionIsInVain(t *testing.T) {
	var proxy *faultproxy.Proxy
	b := setupOutbox(t, func(o *cache.Options) {
		proxy, o.URL = faultproxy.Redis(t, testdb.RedisURL(t))
	})
	b.enter(1)
	o := b.drainer()
	b.eventually(func() bool { return o.Cache.Epoch() == 1 })
	b.insert("one")
	lock, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = lock.Exec(t.Context(), "LOCK TABLE cache_outbox IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	told := make(chan error, 1)
	go func() { told <- o.TellAll(t.Context()) }()
	b.eventually(func() (waits bool) {
		require.NoError(t, lock.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'cache_outbox'::regclass)").Scan(&waits))
		return waits
	})
	direct := testdb.Redis(t)
	require.NoError(t, direct.Do(t.Context(), direct.B().Del().Key(b.options.Prefix+"heartbeat").Build()).Error())
	proxy.CutOnce()
	b.eventually(func() bool { return o.Cache.Epoch() == 0 })
	b.eventually(func() bool { _, _, err := o.Cache.ReadHeartbeat(t.Context()); return err == nil })
	require.NoError(t, lock.Rollback(t.Context()))
	require.Error(t, <-told)
	require.Equal(t, 1, b.waiting())
}
