package usage

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

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
	b.exec(t, `UPDATE usage_months m SET records =
		(SELECT count(*) FROM usage_records r WHERE date_trunc('month', r.occurred_at, 'UTC') = m.month AND NOT EXISTS (SELECT FROM usage_pending p WHERE p.batch_id = r.batch_id))`)
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
