package torture

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const perStream = 10

// recorded has 40 records in the rollups and, where it says so, some that are still
// pending.
func recorded(t *testing.T, pending bool) *bundle {
	t.Helper()
	b := setUp(t)
	b.book.open(2)
	for n := range int64(perStream) {
		b.record(t, b.client, mark{1, n + 1})
		b.record(t, b.client, mark{2, n + 1})
	}
	require.Eventually(t, func() bool { return b.count(t, "SELECT count(*) FROM usage_pending") == 0 }, time.Minute, 5*time.Millisecond)
	if pending {
		// As the compactor found them: out of every tier.
		b.exec(t, "DELETE FROM usage_rollups; DELETE FROM usage_rollups_hourly; DELETE FROM usage_rollups_daily")
		b.exec(t, "DELETE FROM usage_rollups_global; DELETE FROM usage_rollups_global_daily; DELETE FROM usage_totals")
		b.exec(t, "INSERT INTO usage_pending (batch_id, first_at, last_at, records) SELECT batch_id, min(occurred_at), max(occurred_at), count(*) FROM usage_records GROUP BY 1")
	}
	return b
}

func TestAuditOfWhatIsRight(t *testing.T) {
	t.Parallel()
	for _, pending := range []bool{false, true} {
		b := recorded(t, pending)
		b.book.begin(mark{1, perStream + 1}) // never answered and not stored
		b.book.begin(mark{1, 1})             // once more, never answered
		require.NoError(t, b.audit(t.Context()))
		require.True(t, b.rep.Clean(), b.rep)
		require.EqualValues(t, 2*perStream, b.rep.Acknowledged)
		require.EqualValues(t, 2*perStream, b.rep.Stored)
		require.Equal(t, pending, b.rep.Pending == 2*perStream)
		require.NoError(t, b.auditMidway(t.Context()))
		require.True(t, b.rep.Clean(), b.rep)
		require.Equal(t, 1, b.rep.Audits)
	}
}

// Each sum that is wrong, and what the audit says of it.
func TestAuditFindsWrongSums(t *testing.T) {
	t.Parallel()
	const once = " SET requests = requests + 1 WHERE ctid = (SELECT min(ctid) FROM "
	for sql, want := range map[string]map[string]int64{
		"UPDATE usage_rollups" + once + "usage_rollups)":                           {"usage_rollups": 1},
		"UPDATE usage_rollups_hourly" + once + "usage_rollups_hourly)":             {"usage_rollups_hourly": 1},
		"UPDATE usage_rollups_daily" + once + "usage_rollups_daily)":               {"usage_rollups_daily": 1},
		"UPDATE usage_rollups_global" + once + "usage_rollups_global)":             {"usage_rollups_global": 1},
		"UPDATE usage_rollups_global_daily" + once + "usage_rollups_global_daily)": {"usage_rollups_global_daily": 1},
		"UPDATE usage_totals SET cost = cost + 0.000000000001 WHERE kind = 'key'":  {"usage_totals of keys": 3},
		"UPDATE usage_totals SET records = records + 1 WHERE kind = 'account'":     {"usage_totals of accounts": 3},
		"DELETE FROM usage_totals WHERE kind = 'key'":                              {"usage_totals of keys": 3},
	} {
		t.Run(sql, func(t *testing.T) {
			t.Parallel()
			b := recorded(t, false)
			b.exec(t, sql)
			require.NoError(t, b.audit(t.Context()))
			require.Equal(t, want, b.rep.Mismatches)
			require.Zero(t, b.rep.Lost+b.rep.Duplicated)
			b.rep.Mismatches = make(map[string]int64)
			require.NoError(t, b.auditMidway(t.Context()))
			require.Len(t, b.rep.Mismatches, 1)
		})
	}
}

// Each record that is wrong. All are pending, so that the sums follow them.
func TestAuditFindsWrongRecords(t *testing.T) {
	t.Parallel()
	const (
		more = `INSERT INTO usage_records SELECT occurred_at, gen_random_uuid(), api_key_id, account_id, batch_id, requests, input_tokens,
			%, cache_creation_tokens, cache_read_tokens, total_tokens, cost, account_type, model FROM usage_records WHERE output_tokens = 3`
		ids = 2 * (perStream - perStream/without)
	)
	for sql, want := range map[string]Report{
		"DELETE FROM usage_records WHERE output_tokens = 3": {
			Stored: 2*perStream - 2, Lost: 2, Mismatch: 2, Mismatches: map[string]int64{"usage_requests": 2},
		},
		strings.Replace(more, "%", "output_tokens", 1):     {Stored: 2*perStream + 2, Duplicated: 2},
		strings.Replace(more, "%", "output_tokens - 3", 1): {Stored: 2*perStream + 2, Mismatch: 2, Mismatches: map[string]int64{"records that nobody sent": 2}},
		"DELETE FROM usage_requests":                       {Stored: 2 * perStream, Mismatch: ids, Mismatches: map[string]int64{"usage_requests": ids}},
		"UPDATE usage_records SET account_type = 'x' WHERE output_tokens = 3": {
			Stored: 2 * perStream, Mismatch: 2, Mismatches: map[string]int64{"records that were not sent like that": 2},
		},
	} {
		t.Run(sql, func(t *testing.T) {
			t.Parallel()
			b := recorded(t, true)
			b.exec(t, sql)
			require.NoError(t, b.audit(t.Context()))
			if want.Mismatches == nil {
				want.Mismatches = map[string]int64{}
			}
			got := Report{
				Stored: b.rep.Stored, Lost: b.rep.Lost, Duplicated: b.rep.Duplicated, Mismatch: b.rep.Mismatch, Mismatches: b.rep.Mismatches,
			}
			require.Equal(t, want, got)
			require.False(t, b.rep.Clean())
		})
	}
}

func TestAuditMidwayMissesWhatIsAcknowledged(t *testing.T) {
	t.Parallel()
	b := recorded(t, true)
	b.exec(t, "DELETE FROM usage_records WHERE output_tokens = 3")
	require.NoError(t, b.auditMidway(t.Context()))
	require.Equal(t, map[string]int64{"acknowledged records missing midway": 2}, b.rep.Mismatches)
}

func TestAuditHearsOfWrongAnswers(t *testing.T) {
	t.Parallel()
	b := recorded(t, false)
	b.book.answer(report{Event: wrong})
	b.record(t, b.client, mark{1, 1}) // a duplicate
	b.book.find(mark{1, 1}).counted++
	require.NoError(t, b.audit(t.Context()))
	require.Equal(t, map[string]int64{"answers about keys": 1, "answers about records": 1}, b.rep.Mismatches)
	require.Len(t, b.rep.Examples, 1)
	require.EqualValues(t, 1, b.rep.Duplicates.Answered)
}
