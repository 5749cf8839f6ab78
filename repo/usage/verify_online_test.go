package usage

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
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
