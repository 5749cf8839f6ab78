package usage

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// TestVerifySurvivesARestart loses every connection of the pool in the middle.
func TestVerifySurvivesARestart(t *testing.T) {
	t.Parallel()
	b := setup(t, 3)
	b.spread(t)
	b.Primary.Retry.BaseDelay = time.Millisecond
	b.exec(t, "UPDATE usage_rollups_daily SET cost = cost + 1")
	wrong := b.count(t, "SELECT count(*) FROM usage_rollups_daily")
	conn, err := pgx.Connect(t.Context(), b.url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	ended := false
	rep, err := b.Verify(t.Context(), VerifyOptions{Repair: true, Progress: func(done, _ int) {
		if done > 24 && !ended {
			ended = true
			_, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid()`)
			require.NoError(t, err)
		}
	}})
	require.NoError(t, err)
	require.True(t, ended)
	require.Equal(t, wrong, rep.Repaired)
	require.Zero(t, b.verify(t, false).Wrong)
}

// TestVerifyHalves has comparisons that take too long unless they are of a quarter of
// an hour, and one that always does.
func TestVerifyHalves(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.Primary = &strategy.Postgres{Pool: b.pool, OpTimeout: time.Minute}
	start := at(t, "2025-03-01T00:00:00Z")
	var seen []time.Duration
	slow := func(longest time.Duration) summed {
		seen = nil
		return summed{table: "slow", width: cell, find: func(_ *db.Queries, _ context.Context, _ db.DBTX, p db.UsageVerifyHoursParams) ([]wrongRow, error) {
			if p.High.Sub(p.Low) > longest {
				return nil, result.QueryTimeout
			}
			seen = append(seen, p.Low.Sub(start))
			return nil, nil
		}}
	}
	v := b.verification(VerifyOptions{})
	_, err := v.over(t.Context(), slow(cell), start, start.Add(time.Hour), false)
	require.NoError(t, err)
	require.Equal(t, []time.Duration{0, cell, 2 * cell, 3 * cell}, seen)
	_, err = v.over(t.Context(), slow(0), start, start.Add(time.Hour), false)
	require.ErrorIs(t, result.From(err), result.QueryTimeout)
	require.Empty(t, seen)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = v.over(cancelled, slow(cell), start, start.Add(time.Hour), false)
	require.ErrorIs(t, result.From(err), result.Cancelled)
	require.ErrorIs(t, err, context.Canceled)
}
