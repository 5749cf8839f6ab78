package strategy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// A writer of Redis that has not heard of a move finds the copy's mark in the place of
// the epoch, and leaves it there.
func TestWritersLeaveTheHold(t *testing.T) {
	t.Parallel()
	m := setupMoves(t)
	require.NoError(t, m.store.insert(t.Context(), "0"))
	require.NoError(t, m.store.Move(t.Context(), strategy.Session, config(strategy.PrimaryRedis), nil).Err())
	sleeper := m.open()
	sleeper.Close() // looks no more
	require.NoError(t, sleeper.insert(t.Context(), "1"))
	m.store.Movers[strategy.Session] = blocked{meanwhile: func() {
		short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, sleeper.insert(short, "never"), result.ReadOnly)
		found, err := m.direct.Do(t.Context(), m.direct.B().Get().Key(strategy.EpochKey(strategy.Session)).Build()).ToString()
		require.NoError(t, err)
		require.Contains(t, found, "held ")
	}}
	require.NoError(t, m.store.Move(t.Context(), strategy.Session, config(strategy.PrimaryPostgres), nil).Err())
	require.Equal(t, []string{"0", "1"}, m.stored(strategy.PrimaryPostgres))
}

// The answer to the flip's commit is lost: the epoch tells that it has flipped.
func TestAFlipWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	m := setupMoves(t)
	require.NoError(t, m.store.insert(t.Context(), "0"))
	var proxy *faultproxy.Proxy
	proxy, m.database = faultproxy.Postgres(t, m.database)
	s := m.open()
	s.Lease(time.Minute, time.Hour) // no other commit goes through the proxy
	for _, to := range primaries {
		var cut <-chan struct{}
		moved := s.Move(t.Context(), strategy.Session, config(to), func(p strategy.Progress) {
			if p.Step == strategy.MoveFlipping {
				cut = proxy.On(faultproxy.ToClient, faultproxy.CommitDone, faultproxy.CutBefore)
			}
		})
		<-cut
		require.NoError(t, moved.Err())
		require.Equal(t, to, s.State(strategy.Session).PrimaryStorage)
		require.Len(t, m.stored(to), 1)
	}
}

// A switch that keeps the primary, and has looked before a move flips it, is over before
// that: the config that lasts is the move's.
func TestAFlipWaitsForASwitch(t *testing.T) {
	t.Parallel()
	m := setupMoves(t)
	require.NoError(t, m.store.insert(t.Context(), "0"))
	tx, err := m.store.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock(hashtextextended('relaystore storage strategy session', 0))")
	require.NoError(t, err)
	moved := make(chan error, 1)
	to := config(strategy.PrimaryRedis)
	go func() { moved <- m.store.Move(t.Context(), strategy.Session, to, nil).Err() }()
	m.becomes(func() bool {
		var waits bool
		err := m.store.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory')`).Scan(&waits)
		return waits && err == nil || len(moved) > 0
	})
	require.Empty(t, moved, "it waits")
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-moved)
	require.Equal(t, to, m.store.State(strategy.Session).Config)
}

// giveUp ends the move of whoever has one, as a lease that ran out does.
func (m *moves) giveUp() {
	m.Helper()
	_, err := m.store.pool.Exec(m.Context(), "UPDATE storage_primaries SET step = NULL, holder = NULL, lease_expires_at = NULL, began_at = NULL")
	require.NoError(m, err)
}

// Who has lost the lease flips nothing, and leaves the config as it is; who notices ends
// the copy at once.
func TestALeaseThatIsLost(t *testing.T) {
	t.Parallel()
	m := setupMoves(t)
	require.NoError(t, m.store.insert(t.Context(), "0"))
	s := m.open()
	for i, to := range primaries {
		before := s.State(strategy.Session)
		s.Lease(time.Minute, time.Hour)
		moved := s.Move(t.Context(), strategy.Session, config(to), func(p strategy.Progress) {
			if p.Step == strategy.MoveFlipping {
				m.giveUp()
			}
		})
		require.ErrorIs(t, moved.Err(), result.TransactionConflict)
		require.Equal(t, before, s.State(strategy.Session))

		s.Lease(time.Minute, time.Millisecond)
		s.Movers[strategy.Session] = endless{meanwhile: m.giveUp}
		require.ErrorIs(t, s.Move(t.Context(), strategy.Session, config(to), nil).Err(), result.TransactionConflict)
		s.Movers[strategy.Session] = mover{}
		require.NoError(t, s.insert(t.Context(), string(rune('1'+i))))
		require.NoError(t, s.Move(t.Context(), strategy.Session, config(to), nil).Err())
		require.Len(t, m.stored(to), i+2)
	}
}

// endless is a mover whose comparison goes on as long as it may.
type endless struct {
	mover

	meanwhile func()
}

func (e endless) Compare(ctx context.Context, _ strategy.Move) (int64, error) {
	e.meanwhile()
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(20 * time.Second):
		return 0, errors.New("nobody has ended it")
	}
}

// The answer to the begin's commit is lost: writers do not wait until the lease runs out.
func TestABeginWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	m := setupMoves(t)
	require.NoError(t, m.store.insert(t.Context(), "0"))
	var proxy *faultproxy.Proxy
	proxy, m.database = faultproxy.Postgres(t, m.database)
	s := m.open()
	s.Lease(time.Hour, time.Hour)
	var cut <-chan struct{}
	moved := s.Move(t.Context(), strategy.Session, config(strategy.PrimaryRedis), func(p strategy.Progress) {
		if p.Step == strategy.MovePausing {
			cut = proxy.On(faultproxy.ToClient, faultproxy.CommitDone, faultproxy.CutBefore)
		}
	})
	<-cut
	require.ErrorIs(t, moved.Err(), result.ConnectionFailed)
	require.NoError(t, m.store.insert(t.Context(), "1"))
	require.Len(t, m.stored(strategy.PrimaryPostgres), 2)
}
