package strategy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// What is told after the commit, and whether the error says that it is unknown.
func TestTxCommitIsCutOff(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		direction faultproxy.Direction
		pattern   string
		action    faultproxy.Action
		rows      int
	}{
		"before it arrives": {faultproxy.ToServer, faultproxy.Commit, faultproxy.CutBefore, 0},
		"before its answer": {faultproxy.ToClient, faultproxy.CommitDone, faultproxy.CutBefore, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			tx := b.begin()
			told := 0
			tx.Primary().AfterCommit(t.Context(), func(context.Context) { told++ })
			require.NoError(t, b.write(tx.Primary(), "a"))
			b.proxy.On(c.direction, c.pattern, c.action)
			err := tx.Commit(t.Context())
			require.Equal(t, result.ConnectionFailed, code(err))
			require.True(t, unknown(err))
			require.Equal(t, 1, told, "it may be committed, so caches must forget")
			b.becomes("a", c.rows)
			again := tx.Commit(t.Context())
			require.Equal(t, result.TransactionClosed, code(again))
			require.ErrorContains(t, again, "the answer did not come")
		})
	}
}

// A commit that the server refuses: what comes later does not hear that it was
// committed.
func TestTxCommitIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.direct.Exec(t.Context(), "ALTER TABLE written ADD CONSTRAINT once UNIQUE (value) DEFERRABLE INITIALLY DEFERRED")
	require.NoError(t, err)
	require.NoError(t, b.write(b.Postgres, "a"))
	tx := b.begin()
	require.NoError(t, b.write(tx.Primary(), "a"))
	require.Equal(t, result.DuplicateKey, code(tx.Commit(t.Context())))
	for _, err := range []error{tx.Commit(t.Context()), tx.Rollback(t.Context()), b.write(tx.Primary(), "b")} {
		require.Equal(t, result.TransactionClosed, code(err))
		require.ErrorContains(t, err, "its commit failed")
	}
	require.Equal(t, 1, b.rows("a"))
}

// The caller leaves while the commit is on its way: the truth is worth the wait.
func TestTxCommitOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.begin()
	require.NoError(t, b.write(tx.Primary(), "a"))
	ctx, cancel := context.WithCancel(t.Context())
	told := errors.New("not told")
	tx.Primary().AfterCommit(ctx, func(ctx context.Context) { told = ctx.Err() })
	stalled := b.proxy.On(faultproxy.ToClient, faultproxy.CommitDone, faultproxy.StallBefore)
	done := make(chan error, 1)
	go func() { done <- tx.Commit(ctx) }()
	<-stalled
	cancel()
	late := make(chan error, 1)
	go func() { late <- tx.Rollback(ctx) }()
	require.Eventually(t, func() bool { // calls are refused by now, so the rollback waits for the commit
		short, stop := context.WithTimeout(t.Context(), time.Millisecond)
		defer stop()
		return code(tx.Primary().Read(short, nil)) == result.TransactionClosed
	}, time.Minute, time.Millisecond)
	b.proxy.Pass()
	require.NoError(t, <-done)
	require.ErrorContains(t, <-late, "it was committed")
	require.NoError(t, told, "the work after a commit has a living ctx")
	require.Equal(t, 1, b.rows("a"))
}

func TestTxCommitOfACancelledCaller(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.begin()
	require.NoError(t, b.write(tx.Primary(), "a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, result.Cancelled, code(tx.Commit(ctx)))
	require.NoError(t, tx.Rollback(ctx), "a rollback needs no living ctx")
	require.Equal(t, 0, b.rows("a"))
}

func TestAfterCommit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var told []string
	tell := func(what string) func(context.Context) {
		return func(context.Context) { told = append(told, what) }
	}
	b.AfterCommit(t.Context(), tell("outside"))
	require.Equal(t, []string{"outside"}, told)
	tx := b.begin()
	tx.Primary().AfterCommit(t.Context(), tell("undone"))
	require.NoError(t, tx.Rollback(t.Context()))
	tx = b.begin()
	tx.Primary().AfterCommit(t.Context(), tell("first"))
	tx.Primary().AfterCommit(t.Context(), tell("second"))
	require.Equal(t, []string{"outside"}, told)
	require.NoError(t, tx.Commit(t.Context()))
	tx.Primary().AfterCommit(t.Context(), tell("late"))
	require.Equal(t, []string{"outside", "first", "second", "late"}, told)
	require.Same(t, b.Postgres, tx.Primary().Outside())
	require.Same(t, b.Postgres, b.Outside())
}
