package usage

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// traffic is a bounded number of records by writers of two processes, whose
// compactors run.
type traffic struct {
	begun, done atomic.Int64
	left        sync.WaitGroup
	writing     context.Context
	errs        chan error
}

func (b *bundle) startTraffic(t *testing.T, each int, keys []string) *traffic {
	t.Helper()
	f := &traffic{errs: make(chan error, writers)}
	repos := []*Repo{open(t, b.url), open(t, b.url)}
	var stop context.CancelFunc
	f.writing, stop = context.WithCancel(t.Context())
	for w := range writers {
		f.left.Go(func() {
			for i := range each {
				r := sample(keys[(w+i)%len(keys)])
				r.Model, r.AccountID = models[i%len(models)], accounts[w%len(accounts)]
				r.Timestamp = time.Now().Add(-time.Duration(rand.IntN(4*60)) * time.Minute)
				f.begun.Add(1)
				if err := repos[w%2].RecordUsage(t.Context(), r).Err(); err != nil {
					f.errs <- err
					return
				}
				f.done.Add(1)
				repos[i%2].compactor.wake()
			}
		})
	}
	go func() {
		f.left.Wait()
		stop()
	}()
	t.Cleanup(f.left.Wait)
	return f
}

func (f *traffic) requireNoErrors(t *testing.T) {
	t.Helper()
	f.left.Wait()
	close(f.errs)
	for err := range f.errs {
		require.NoError(t, err)
	}
}

// TestVerifyWhileWriting never finds a right ledger wrong, with or without repairs.
func TestVerifyWhileWriting(t *testing.T) {
	t.Parallel()
	b := setup(t, 5)
	f := b.startTraffic(t, 300, b.keys)
	for n := 0; f.writing.Err() == nil || n == 0; n++ {
		rep := b.verify(t, n%2 == 1)
		require.Zero(t, rep.Wrong, "%+v", rep.Cells)
	}
	f.requireNoErrors(t)
	b.requireRollupsEqualRecords(t)
}

// TestRepairWhileWriting damages the figures of some keys, by days and by quarters,
// and repairs them while others are written and read.
func TestRepairWhileWriting(t *testing.T) {
	t.Parallel()
	b := setup(t, 5)
	hurt, busy := b.keys[:2], b.keys[2:]
	for _, k := range hurt {
		var entries []entry
		for i := range 40 {
			r := sample(k)
			r.Timestamp = time.Now().Add(-time.Duration(i) * 7 * time.Minute)
			entries = append(entries, checked(t, r))
		}
		writeBatch(t, b, entries)
	}
	require.NoError(t, b.compact(t.Context()))
	f := b.startTraffic(t, 300, busy)
	var last int64
	for n := 0; f.writing.Err() == nil || n == 0; n++ {
		b.exec(t, "UPDATE usage_rollups SET requests = requests + 1 WHERE api_key_id = $1", hurt[0])
		b.exec(t, "UPDATE usage_rollups_daily SET cost = 0 WHERE api_key_id = $1", hurt[0])
		b.exec(t, "DELETE FROM usage_rollups_hourly WHERE api_key_id = $1", hurt[1])
		b.exec(t, "DELETE FROM usage_totals WHERE kind = 'key' AND id = $1", hurt[1])
		rep := b.verify(t, true)
		require.Equal(t, rep.Wrong, rep.Repaired)
		for _, c := range rep.Cells {
			require.Contains(t, hurt, c.APIKeyID, "%+v", c)
		}
		for _, k := range hurt {
			require.EqualValues(t, 40, total(t, b.Repo, StatsQuery{APIKeyID: k}).TotalRequests)
		}
		last = b.requireBetween(t, f, busy, last)
	}
	f.requireNoErrors(t)
	require.Zero(t, b.verify(t, false).Wrong)
	b.requireRollupsEqualRecords(t)
}

// requireBetween reads the figures of keys: at least what had been written before,
// and at most what has been begun.
func (b *bundle) requireBetween(t *testing.T, f *traffic, keys []string, last int64) (sum int64) {
	t.Helper()
	least := max(last, f.done.Load())
	for _, k := range keys {
		s := total(t, b.Repo, StatsQuery{APIKeyID: k})
		require.Equal(t, 7*s.TotalRequests, s.TotalTokens)
		require.True(t, amount(s.TotalRequests).Equal(s.TotalCost))
		sum += s.TotalRequests
	}
	require.GreaterOrEqual(t, sum, least)
	require.LessOrEqual(t, sum, f.begun.Load())
	return sum
}

// TestVerifyWaitsForTheCompactor repairs while a compactor is held up in its
// transaction: what that one has added counts.
func TestVerifyWaitsForTheCompactor(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	writeBatch(t, b, b.numbered(t, 3))
	require.NoError(t, b.compact(t.Context()))
	writeBatch(t, b, b.numbered(t, 4))
	b.exec(t, "UPDATE usage_rollups_daily SET requests = requests + 5")
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background()) //nolint:errcheck // committed below
	row, err := b.queries.UsageCompact(t.Context(), tx, db.UsageCompactParams{Lock: compactLock, BatchLimit: 1})
	require.NoError(t, err)
	require.EqualValues(t, 1, row.Taken)
	repaired := make(chan VerifyReport, 1)
	go func() {
		rep, _ := b.Verify(t.Context(), VerifyOptions{Repair: true})
		repaired <- rep
	}()
	b.waitForLock(t)
	require.NoError(t, tx.Commit(t.Context()))
	require.EqualValues(t, 1, (<-repaired).Repaired)
	require.Zero(t, b.verify(t, false).Wrong)
	b.requireRollupsEqualRecords(t)
}

// TestVerifyLooksAgain repairs what another one has just repaired: that is no longer
// wrong, and not counted twice.
func TestVerifyLooksAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	writeBatch(t, b, b.numbered(t, 3))
	require.NoError(t, b.compact(t.Context()))
	b.exec(t, "UPDATE usage_rollups_daily SET requests = requests + 5")
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background()) //nolint:errcheck // committed below
	require.NoError(t, b.queries.UsageCompactorHold(t.Context(), tx, compactLock))
	_, err = tx.Exec(t.Context(), "UPDATE usage_rollups_daily SET requests = requests - 5")
	require.NoError(t, err)
	repaired := make(chan VerifyReport, 1)
	go func() {
		rep, _ := b.Verify(t.Context(), VerifyOptions{Repair: true})
		repaired <- rep
	}()
	b.waitForLock(t)
	require.NoError(t, tx.Commit(t.Context()))
	rep := <-repaired
	require.Zero(t, rep.Wrong)
	require.Empty(t, rep.Cells)
	require.Positive(t, rep.Chunks)
}

// TestVerifyWhileCleaningUp moves the horizon and removes records between two
// comparisons: what is before it now is no concern.
func TestVerifyWhileCleaningUp(t *testing.T) {
	t.Parallel()
	b := setup(t, 3)
	b.spread(t)
	moved := false
	rep, err := b.Verify(t.Context(), VerifyOptions{Repair: true, Progress: func(done, _ int) {
		if done >= 24 && !moved {
			moved = true
			b.cleanUp(t, at(t, "2025-03-03T00:00:00Z"))
		}
	}})
	require.NoError(t, err)
	require.True(t, moved)
	require.Zero(t, rep.Wrong, "%+v", rep.Cells)
	b.exec(t, "UPDATE usage_rollups SET cost = cost + 1 WHERE bucket < '2025-03-03Z'")
	later := b.verify(t, true)
	require.Zero(t, later.Wrong)
	require.Equal(t, at(t, "2025-03-03T00:00:00Z"), later.From)
	b.exec(t, "UPDATE usage_rollups SET cost = cost + 1 WHERE bucket >= '2025-03-03Z'")
	require.Positive(t, b.verify(t, true).Repaired)
}

// cleanUp is what a clean-up does to the ledger.
func (b *bundle) cleanUp(t *testing.T, before time.Time) {
	t.Helper()
	b.exec(t, "UPDATE usage_horizon SET records_from = $1", before)
	b.exec(t, "DELETE FROM usage_records WHERE occurred_at < $1", before)
}

// TestVerifyTotalsAfterCleaningUp says what cannot be compared any more, and why.
func TestVerifyTotalsAfterCleaningUp(t *testing.T) {
	t.Parallel()
	b := setup(t, 3)
	b.spread(t)
	damage := func() { b.exec(t, "UPDATE usage_rollups_daily SET cost = cost + 1 WHERE bucket = '2025-03-01Z'") }
	damage()
	moved := false
	rep, err := b.Verify(t.Context(), VerifyOptions{Progress: func(done, _ int) {
		if done > 24 && !moved { // the first day has been found wrong
			moved = true
			b.cleanUp(t, at(t, "2025-03-02T00:00:00Z"))
		}
	}})
	require.NoError(t, err)
	require.Contains(t, rep.Unchecked, "records of a wrong day")
	for _, c := range rep.Cells {
		require.Equal(t, "usage_rollups_daily", c.Tier)
	}

	b.exec(t, "DELETE FROM usage_rollups_daily WHERE bucket < '2025-03-02Z'")
	b.exec(t, "UPDATE usage_horizon SET rollups_from = '2025-03-02Z'")
	rep, err = b.Verify(t.Context(), VerifyOptions{Repair: true})
	require.NoError(t, err)
	require.Zero(t, rep.Wrong, "%+v", rep.Cells)
	require.Equal(t, "usage_totals: they count rollups from before 2025-03-02 on, which have been removed", rep.Unchecked)
}

// TestVerifyTotalsWhileCleaningUp removes rollups, or the records of a wrong day, when
// the first kind of totals has been compared.
func TestVerifyTotalsWhileCleaningUp(t *testing.T) {
	t.Parallel()
	b := setup(t, 3)
	b.spread(t)
	b.exec(t, "UPDATE usage_rollups_daily SET cost = cost + 1 WHERE bucket = '2025-03-01Z'")
	during := func(days int, cleanUp func()) VerifyReport {
		moved := false
		rep, err := b.Verify(t.Context(), VerifyOptions{Progress: func(done, _ int) {
			if done > days*24 && !moved {
				moved = true
				cleanUp()
			}
		}})
		require.NoError(t, err)
		require.True(t, moved)
		for _, c := range rep.Cells {
			require.Equal(t, "usage_rollups_daily", c.Tier)
		}
		return rep
	}
	rep := during(3, func() { b.cleanUp(t, at(t, "2025-03-02T00:00:00Z")) })
	require.Contains(t, rep.Unchecked, "records of a wrong day")
	b.exec(t, "UPDATE usage_rollups_daily SET cost = cost - 1 WHERE bucket = '2025-03-01Z'")
	require.Zero(t, b.verify(t, false).Wrong)
	rep = during(2, func() {
		b.exec(t, "UPDATE usage_horizon SET rollups_from = '2025-03-02Z'")
		b.exec(t, "DELETE FROM usage_rollups_daily WHERE bucket < '2025-03-02Z'")
	})
	require.Contains(t, rep.Unchecked, "from before 2025-03-02 on")
}

// TestVerifyManyWrongDays has more than the totals read from the records.
func TestVerifyManyWrongDays(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	var entries []entry
	for i := range maxWrongDays + 1 {
		r := sample(b.keys[0])
		r.Timestamp = at(t, "2025-03-01T00:00:00Z").AddDate(0, 0, i)
		entries = append(entries, checked(t, r))
	}
	writeBatch(t, b, entries)
	require.NoError(t, b.compact(t.Context()))
	b.exec(t, "UPDATE usage_rollups_daily SET cost = cost + 1")
	rep, err := b.Verify(t.Context(), VerifyOptions{})
	require.NoError(t, err)
	require.EqualValues(t, maxWrongDays+1, rep.Wrong)
	require.Contains(t, rep.Unchecked, "more than 31 days")
	require.EqualValues(t, maxWrongDays+1, b.verify(t, true).Repaired)
}

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
