package strategy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
)

// heartbeat is what PostgreSQL remembers of the last one.
func (b *outboxBundle) heartbeat() (beat, epoch int64, server string) {
	b.Helper()
	require.NoError(b, b.pool.QueryRow(b.Context(), "SELECT beat, epoch, server FROM cache_heartbeat").Scan(&beat, &epoch, &server))
	return beat, epoch, server
}

func (b *outboxBundle) epoch() int64 {
	b.Helper()
	_, epoch, _ := b.heartbeat()
	return epoch
}

func (b *outboxBundle) eventually(condition func() bool) {
	b.Helper()
	require.Eventually(b, condition, patience, time.Millisecond)
}

// The database's clock was set back while a change waited: the change seems to come
// from the future, up to which nothing is proved.
func TestHeartbeatsDoNotRunAhead(t *testing.T) {
	b := setupOutbox(t)
	b.insert("one")
	b.exec("UPDATE cache_outbox SET created_at = now() + interval '1 hour'")
	held, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = held.Exec(t.Context(), "SELECT FROM cache_outbox FOR UPDATE") // it is being told
	require.NoError(t, err)
	b.drain()
	var h cache.Heartbeat
	b.eventually(func() bool {
		h, _, err = b.cache.ReadHeartbeat(t.Context())
		require.NoError(t, err)
		return h.Beat > 0
	})
	require.NoError(t, held.Rollback(t.Context()))
	require.GreaterOrEqual(t, h.Lag, time.Duration(0))
	var now time.Time
	require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&now))
	require.LessOrEqual(t, h.Beat, now.UnixMicro())
}

// A clock that was set back for an hour must not silence the heartbeats for one.
func TestHeartbeatsGoOnAfterTheClockWasSetBack(t *testing.T) {
	b := setupOutbox(t)
	o := b.drain()
	b.eventually(func() bool { return b.epoch() > 0 })
	o.Close()
	beat, epoch, _ := b.heartbeat()
	held, _, err := b.cache.ReadHeartbeat(t.Context())
	require.NoError(t, err)
	future := held
	future.Beat += time.Hour.Microseconds()
	require.NoError(t, b.cache.ReplaceHeartbeat(t.Context(), held, future))
	b.exec("UPDATE cache_heartbeat SET beat = $1", beat+time.Hour.Microseconds())
	b.drain()
	b.eventually(func() bool { return b.epoch() > epoch })
	b.eventually(func() bool { return b.cache.Fresh(time.Now()) })
}

// Changes that waited for too long are dropped, and Redis has not heard of them:
// what it and the processes hold is void.
func TestDroppedChangesBeginANewEpoch(t *testing.T) {
	b := setupOutbox(t)
	o := b.drain()
	key := b.insert("one")
	require.Equal(t, "one", b.cached(key))
	o.Close()
	epoch := b.epoch()
	b.exec("UPDATE api_keys SET name = 'two'")
	b.exec("UPDATE cache_outbox SET created_at = now() - interval '61 minutes'")
	require.NoError(t, o.Trim(t.Context()))
	require.Zero(t, b.waiting())
	b.drain()
	b.eventually(func() bool { return b.epoch() > epoch })
	b.becomes(key, "two")
}

// Redis was flushed while changes waited that had been there before the last
// heartbeat: a new epoch does not wait for them, since they wait for it.
func TestANewEpochDoesNotWait(t *testing.T) {
	b := setupOutbox(t)
	o := b.drain()
	b.eventually(func() bool { return b.epoch() > 0 && b.waiting() == 0 })
	o.Close()
	beat, epoch, _ := b.heartbeat()
	key := b.insert("one")
	b.exec("UPDATE cache_outbox SET created_at = $1", time.UnixMicro(beat).Add(-time.Second))
	held, _, err := b.cache.ReadHeartbeat(t.Context())
	require.NoError(t, err)
	require.NoError(t, b.cache.ReplaceHeartbeat(t.Context(), held, cache.Heartbeat{Epoch: epoch, Beat: beat - 1}))
	b.drain()
	b.eventually(func() bool { return b.epoch() > epoch })
	b.eventually(func() bool { return b.waiting() == 0 })
	require.Equal(t, "one", b.cached(key))
}
