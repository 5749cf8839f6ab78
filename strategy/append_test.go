package strategy_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// insertDone is CommandComplete of one inserted row.
const insertDone = "INSERT 0 1\x00"

func TestAppendCancelledBeforeItStarts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f, runs := insert("a")
	err := b.Append(ctx, f)
	require.Equal(t, result.Cancelled, code(err))
	require.False(t, unknown(err))
	require.Zero(t, *runs)
	require.Zero(t, b.rows("a"))
}

func TestAppendCancelledWhileItWaitsForAConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold(t, b.Pool)
	ctx, cancel := context.WithCancel(t.Context())
	f, runs := insert("a")
	done := make(chan error, 1)
	go func() { done <- b.Append(ctx, f) }()
	cancel()
	require.Equal(t, result.Cancelled, code(<-done))
	require.Zero(t, *runs)
}

func TestAppendCancelledAfterItStarted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	f, _ := insert("a")
	stalled := b.proxy.On(faultproxy.ToClient, insertDone, faultproxy.StallBefore)
	done := make(chan error, 1)
	go func() { done <- b.Append(ctx, f) }()
	<-stalled
	cancel()
	b.proxy.Pass()
	require.NoError(t, <-done)
	require.Equal(t, 1, b.rows("a"))
}

// The server refuses what a cancelled caller started: that is the truth, too.
func TestAppendRefusedAfterCancelling(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := b.Append(ctx, func(ctx context.Context, c db.DBTX) error {
		cancel()
		_, err := c.Exec(ctx, "INSERT INTO written VALUES (1/0)")
		return err
	})
	require.Equal(t, result.InvalidQuery, code(err))
	require.False(t, unknown(err))
}

func TestAppendIsRepeated(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f, runs := insert("a")
	cut := b.proxy.On(faultproxy.ToClient, insertDone, faultproxy.CutBefore)
	require.NoError(t, b.Append(t.Context(), f))
	<-cut
	require.Equal(t, 2, *runs)
	require.Equal(t, 2, b.rows("a")) // f says how often it ran; a real one adds nothing then
}

// The first try may have written, so the later ones that never reach the server
// do not make it certain that nothing happened.
func TestAppendRemembersAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f, runs := insert("a")
	err := b.Append(t.Context(), func(ctx context.Context, c db.DBTX) error {
		require.NoError(t, f(ctx, c))
		b.proxy.Cut()
		return one(ctx, c)
	})
	require.Equal(t, result.ConnectionFailed, code(err))
	require.True(t, unknown(err))
	require.Equal(t, 1, *runs)
	require.Equal(t, 1, b.rows("a"))
}

func TestAppendThatNeverReachedTheServer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.proxy.Cut()
	f, runs := insert("a")
	err := b.Append(t.Context(), f)
	require.Equal(t, result.ConnectionFailed, code(err))
	require.False(t, unknown(err))
	require.Zero(t, *runs)
}

// A caller's deadline does not end what has started; OpTimeout does.
func TestAppendIsBoundedByOpTimeout(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.Read(t.Context(), one))
	b.OpTimeout = shortly
	b.Retry.MaxRetries = 0
	b.proxy.Stall()
	f, _ := insert("a")
	err := b.Append(t.Context(), f)
	require.Equal(t, result.QueryTimeout, code(err))
	require.True(t, unknown(err))
}

// hold takes every connection of a pool until the test ends.
func hold(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	for range pool.Config().MaxConns {
		c, err := pool.Acquire(t.Context())
		require.NoError(t, err)
		t.Cleanup(c.Release)
	}
}
