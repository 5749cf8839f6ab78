package strategy_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func one(ctx context.Context, c db.DBTX) error {
	var n int
	return c.QueryRow(ctx, "SELECT 1").Scan(&n)
}

func TestReadSurvivesTerminatedBackends(t *testing.T) {
	t.Parallel()
	b := setup(t)
	runs := 0
	err := b.Read(t.Context(), func(ctx context.Context, c db.DBTX) error {
		if runs++; runs <= 3 {
			b.terminate(pid(t, c))
		}
		return one(ctx, c)
	})
	require.NoError(t, err)
	require.Equal(t, 4, runs)
}

func TestReadGivesUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for want, retries := range map[int]int{1: 0, 2: 1, 4: 3} {
		runs := 0
		err := b.Retrying(retries).Read(t.Context(), func(ctx context.Context, c db.DBTX) error {
			runs++
			b.terminate(pid(t, c))
			return one(ctx, c)
		})
		require.Equal(t, result.ConnectionFailed, code(err))
		require.Equal(t, want, runs)
	}
	require.Equal(t, 3, b.Retry.MaxRetries)
}

func TestReadSurvivesACutAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.Read(t.Context(), one)) // has the statement prepared
	for _, bytes := range []int64{0, 1, 7} {
		cut := b.proxy.After(faultproxy.ToClient, bytes, faultproxy.CutAfter)
		require.NoError(t, b.Read(t.Context(), one))
		<-cut
	}
}

func TestReadDoesNotRepeatOtherFailures(t *testing.T) {
	t.Parallel()
	b := setup(t)
	runs := 0
	err := b.Read(t.Context(), func(ctx context.Context, c db.DBTX) error {
		runs++
		_, err := c.Exec(ctx, "SELECT 1/0")
		return err
	})
	require.Equal(t, result.InvalidQuery, code(err))
	require.Equal(t, 1, runs)
}

func TestSnapshotSeesOneState(t *testing.T) {
	t.Parallel()
	b := setup(t)
	write, _ := insert("a")
	cutOnce := true
	err := b.Snapshot(t.Context(), func(ctx context.Context, tx db.DBTX) error {
		count := func() (n int) {
			require.NoError(t, tx.QueryRow(ctx, "SELECT count(*) FROM written").Scan(&n))
			return n
		}
		before := count()
		require.NoError(t, write(ctx, b.direct))
		require.Equal(t, before, count())
		if cutOnce {
			cutOnce = false
			b.proxy.CutOnce()
			return one(ctx, tx)
		}
		_, err := tx.Exec(ctx, "INSERT INTO written VALUES ('b')")
		return err
	})
	require.Equal(t, result.ReadOnly, code(err))
	require.Equal(t, 2, b.rows("a"))
}
