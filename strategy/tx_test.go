package strategy_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// begin starts a transaction with a minute of time, which the test need not end.
func (b bundle) begin(change ...func(*strategy.TxOptions)) *strategy.Tx {
	b.t.Helper()
	opts := strategy.TxOptions{Timeout: time.Minute}
	for _, c := range change {
		c(&opts)
	}
	tx, err := b.Begin(b.t.Context(), opts)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { tx.End("the test is over") })
	return tx
}

// free waits until no connection is used, and no session of the server is inside a
// transaction.
func (b bundle) free() {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		var open int
		require.NoError(b.t, b.direct.QueryRow(context.Background(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL`).Scan(&open))
		return b.Pool.Stat().AcquiredConns() == 0 && open == 0
	}, time.Minute, time.Millisecond)
}

func (b bundle) write(p *strategy.Postgres, value string) error {
	f, _ := insert(value)
	return p.Write(b.t.Context(), f)
}

// sees tells how many rows a primary sees.
func (b bundle) sees(p *strategy.Postgres, value string) (n int) {
	b.t.Helper()
	require.NoError(b.t, p.Read(b.t.Context(), func(ctx context.Context, c db.DBTX) error {
		return c.QueryRow(ctx, "SELECT count(*) FROM written WHERE value = $1", value).Scan(&n)
	}))
	return n
}

func TestTxIsSeenWhenItIsCommitted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.begin()
	require.NoError(t, b.write(tx.Primary(), "a"))
	require.Equal(t, 1, b.sees(tx.Primary(), "a"))
	require.Equal(t, 0, b.sees(b.Postgres, "a"))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, 1, b.sees(b.Postgres, "a"))
	b.free()
	require.Equal(t, result.TransactionClosed, code(tx.Commit(t.Context())))
	require.Equal(t, result.TransactionClosed, code(tx.Rollback(t.Context())))
	require.Equal(t, result.TransactionClosed, code(b.write(tx.Primary(), "b")))
}

func TestTxRolledBackLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.begin()
	require.NoError(t, b.write(tx.Primary(), "a"))
	require.NoError(t, tx.Rollback(t.Context()))
	require.Equal(t, 0, b.rows("a"))
	b.free()
	require.Equal(t, result.TransactionClosed, code(tx.Commit(t.Context())))
	require.Equal(t, result.TransactionClosed, code(tx.Rollback(t.Context())))
}

// Nobody does anything with it any more: its time frees the connection and the
// locks.
func TestTxForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ended := make(chan struct{})
	tx := b.begin(func(o *strategy.TxOptions) { o.Timeout, o.Ended = 100*time.Millisecond, func() { close(ended) } })
	require.NoError(t, b.write(tx.Primary(), "a"))
	<-ended
	b.free()
	require.Equal(t, 0, b.rows("a"))
	require.ErrorContains(t, b.write(tx.Primary(), "b"), "its time was up")
	require.Equal(t, result.TransactionClosed, code(tx.Commit(t.Context())))
}

// Its time is up while a statement runs, which waits for a lock that is not given.
func TestTxTimeBreaksAStatementOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.OpTimeout = time.Hour
	blocker, err := b.direct.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = blocker.Rollback(context.Background()) })
	_, err = blocker.Exec(t.Context(), "LOCK TABLE written")
	require.NoError(t, err)
	tx := b.begin(func(o *strategy.TxOptions) { o.Timeout = 200 * time.Millisecond })
	require.Equal(t, result.TransactionClosed, code(b.write(tx.Primary(), "a")))
	require.Eventually(t, func() bool { return b.Pool.Stat().AcquiredConns() == 0 }, time.Minute, time.Millisecond)
	require.NoError(t, blocker.Rollback(t.Context()))
	b.free()
	require.Equal(t, 0, b.rows("a"))
}

// A process that stands still cannot end its transactions: the server does.
func TestTxEndsOnTheServerToo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.begin()
	var idle string
	require.NoError(t, tx.Primary().Read(t.Context(), func(ctx context.Context, c db.DBTX) error {
		return c.QueryRow(ctx, "SELECT current_setting('idle_in_transaction_session_timeout')").Scan(&idle)
	}))
	require.Equal(t, "61s", idle)
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, b.Read(t.Context(), func(ctx context.Context, c db.DBTX) error {
		return c.QueryRow(ctx, "SELECT current_setting('idle_in_transaction_session_timeout')").Scan(&idle)
	}))
	require.Equal(t, "0", idle, "the next user of the connection has its own setting")
}

func TestTxModes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, serializable := range []bool{false, true} {
		tx := b.begin(func(o *strategy.TxOptions) { o.Serializable = serializable })
		var level string
		require.NoError(t, tx.Primary().Read(t.Context(), func(ctx context.Context, c db.DBTX) error {
			return c.QueryRow(ctx, "SELECT current_setting('transaction_isolation')").Scan(&level)
		}))
		require.Equal(t, map[bool]string{false: "read committed", true: "serializable"}[serializable], level)
		require.NoError(t, tx.Rollback(t.Context()))
		tx = b.begin(func(o *strategy.TxOptions) { o.Serializable, o.ReadOnly = serializable, true })
		require.Equal(t, result.ReadOnly, code(b.write(tx.Primary(), "a")))
		require.Equal(t, 0, b.sees(tx.Primary(), "a"), "a refused write leaves it open")
		require.NoError(t, tx.Commit(t.Context()))
	}
}

func TestTxLosesItsConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.begin()
	require.NoError(t, tx.Primary().Read(t.Context(), func(_ context.Context, c db.DBTX) error {
		b.terminate(pid(t, c))
		return nil
	}))
	err := b.write(tx.Primary(), "a")
	require.Equal(t, result.ConnectionFailed, code(err))
	require.False(t, unknown(err), "nothing is written before the commit")
	require.Equal(t, result.TransactionClosed, code(tx.Commit(t.Context())))
	b.free()
	require.Equal(t, 0, b.rows("a"))
}

// The server is silent when the time is up: the connection is free all the same.
func TestTxEndsWhileTheServerIsSilent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ended := make(chan struct{})
	b.begin(func(o *strategy.TxOptions) { o.Timeout, o.Ended = 50*time.Millisecond, func() { close(ended) } })
	b.proxy.Stall()
	<-ended
	require.Eventually(t, func() bool { return b.Pool.Stat().AcquiredConns() == 0 }, time.Minute, time.Millisecond)
}

// Connections that broke while they were idle in the pool cost a retry, no error.
func TestTxBeginsOnAFreshConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.write(b.Postgres, "a"))
	b.proxy.CutOnce()
	tx := b.begin()
	require.NoError(t, tx.Commit(t.Context()))
}
