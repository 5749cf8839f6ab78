package strategy_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// A call that fails is undone as a whole, and the rest goes on.
func TestTxFailedCall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.begin()
	require.NoError(t, b.write(tx.Primary(), "before"))
	own := errors.New("own")
	for _, end := range []func(context.Context, db.DBTX) error{
		func(context.Context, db.DBTX) error { return own },
		func(ctx context.Context, c db.DBTX) error {
			_, err := c.Exec(ctx, "SELECT 1/0")
			return err
		},
	} {
		for range 3 {
			err := tx.Primary().Write(t.Context(), func(ctx context.Context, c db.DBTX) error {
				_, err := c.Exec(ctx, "INSERT INTO written VALUES ('half')")
				require.NoError(t, err)
				return end(ctx, c)
			})
			require.Error(t, err)
			require.NotEqual(t, result.TransactionClosed, code(err))
		}
	}
	require.Panics(t, func() {
		_ = tx.Primary().Append(t.Context(), func(ctx context.Context, c db.DBTX) error {
			_, err := c.Exec(ctx, "INSERT INTO written VALUES ('half')")
			require.NoError(t, err)
			panic("f")
		})
	})
	require.NoError(t, b.write(tx.Primary(), "after"))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []int{1, 0, 1}, []int{b.rows("before"), b.rows("half"), b.rows("after")})
}

// A read has no savepoint: where its statement fails, the transaction is over, and
// says so from then on.
func TestTxFailedRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.begin()
	require.NoError(t, b.write(tx.Primary(), "a"))
	err := tx.Primary().Read(t.Context(), func(ctx context.Context, c db.DBTX) error {
		_, err := c.Exec(ctx, "SELECT 1/0")
		return err
	})
	require.Equal(t, result.InvalidQuery, code(err))
	b.free()
	require.Equal(t, result.TransactionClosed, code(tx.Commit(t.Context())))
	require.Equal(t, 0, b.rows("a"))
}

func TestTxCallsTakeTurns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.begin()
	var calls sync.WaitGroup
	for i := range 16 {
		calls.Go(func() {
			for range 10 {
				require.NoError(t, b.write(tx.Primary(), "a"))
				b.sees(tx.Primary(), strconv.Itoa(i))
			}
		})
	}
	calls.Wait()
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, 160, b.rows("a"))
}

// A caller who waits for its turn may leave; one who leaves in the middle of a
// statement takes the transaction along.
func TestTxCancelledCall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.begin()
	require.NoError(t, b.write(tx.Primary(), "a"))
	ctx, cancel := context.WithCancel(t.Context())
	inside, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- tx.Primary().Write(ctx, func(ctx context.Context, c db.DBTX) error {
			close(inside)
			_, err := c.Exec(ctx, "SELECT pg_sleep(60)")
			return err
		})
	}()
	<-inside
	waiting, leave := context.WithCancel(t.Context())
	leave()
	f, runs := insert("b")
	require.Equal(t, result.Cancelled, code(tx.Primary().Write(waiting, f)))
	require.Zero(t, *runs)
	late, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	require.Equal(t, result.QueryTimeout, code(tx.Primary().Write(late, f)))
	require.Zero(t, *runs)
	cancel()
	require.Equal(t, result.Cancelled, code(<-done))
	require.Equal(t, result.TransactionClosed, code(tx.Commit(t.Context())))
	b.free()
	require.Equal(t, 0, b.rows("a"))
}

// A rollback waits for a call that runs, as long as its ctx lasts.
func TestTxRollbackBreaksACallOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.OpTimeout = time.Hour
	tx := b.begin()
	inside, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- tx.Primary().Write(t.Context(), func(ctx context.Context, c db.DBTX) error {
			close(inside)
			_, err := c.Exec(ctx, "SELECT pg_sleep(60)")
			return err
		})
	}()
	<-inside
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.NoError(t, tx.Rollback(ctx))
	require.Equal(t, result.TransactionClosed, code(<-done))
	b.free()
}
