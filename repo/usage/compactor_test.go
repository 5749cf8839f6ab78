package usage

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCompactorsShareTheWork starts several at once on many pending batches whose
// records meet in the same cells.
func TestCompactorsShareTheWork(t *testing.T) {
	t.Parallel()
	b := setup(t, 3)
	now := time.Now()
	const batches, each = 60, 20
	for range batches {
		var entries []entry
		for i := range each {
			r := sample(b.keys[i%3])
			r.Model = models[i%len(models)]
			r.Timestamp = now.Add(time.Duration(-i) * 7 * time.Minute)
			entries = append(entries, checked(t, r))
		}
		writeBatch(t, b, entries)
	}
	require.EqualValues(t, batches, b.count(t, "SELECT count(*) FROM usage_pending"))
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			for range batches {
				if _, errs[i] = b.compactSome(t.Context(), 3); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.NoError(t, b.compact(t.Context())) // they turn each other away
	require.Zero(t, b.count(t, "SELECT count(*) FROM usage_pending"))
	require.EqualValues(t, batches*each, b.count(t, "SELECT sum(records)::bigint FROM usage_rollups"))
	b.requireRollupsEqualRecords(t)
}

// TestCompactTakesAll has more pending than one statement takes.
func TestCompactTakesAll(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	e := checked(t, sample(b.keys[0]))
	require.NoError(t, b.months.ensure(t.Context(), b.pool, e.Timestamp))
	b.exec(t, `WITH records AS (
			INSERT INTO usage_records (occurred_at, id, api_key_id, account_id, batch_id, requests, input_tokens, output_tokens,
				cache_creation_tokens, cache_read_tokens, total_tokens, cost, account_type, model)
			SELECT $2, gen_random_uuid(), $1, gen_random_uuid(), n, 1, 0, 0, 0, 0, 0, 0, '', 'm' FROM generate_series(1, $3) AS n
		)
		INSERT INTO usage_pending SELECT n, $2, $2, 1 FROM generate_series(1, $3) AS n`, e.key, e.Timestamp, 2*compactBatches+1)
	require.NoError(t, b.compact(t.Context()))
	require.Zero(t, b.count(t, "SELECT count(*) FROM usage_pending"))
	b.requireRollupsEqualRecords(t)
}

// TestCompactorRunsByItself waits for a record to come into the rollups.
func TestCompactorRunsByItself(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	r := open(t, b.url)
	for n := range int64(3) {
		require.NoError(t, r.RecordUsage(t.Context(), sample(b.keys[0])).Err())
		require.Eventually(t, func() bool {
			return b.count(t, "SELECT coalesce(sum(records), 0)::bigint FROM usage_rollups") == n+1
		}, time.Minute, 5*time.Millisecond)
	}
	require.Zero(t, b.count(t, "SELECT count(*) FROM usage_pending"))
}

// TestPendingSurvivesClose leaves a batch behind, as a process that dies does.
func TestPendingSurvivesClose(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	require.NoError(t, b.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	next := open(t, b.url)
	require.EqualValues(t, 1, total(t, next, StatsQuery{}).TotalRequests)
	next.compactor.wake()
	require.Eventually(t, func() bool {
		return b.count(t, "SELECT count(*) FROM usage_rollups") == 1
	}, time.Minute, 5*time.Millisecond)
	require.EqualValues(t, 1, total(t, next, StatsQuery{}).TotalRequests)
}

// TestCompactTakesNoBatchForLess has a batch of which a record is not to be found.
func TestCompactTakesNoBatchForLess(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	writeBatch(t, b, b.numbered(t, 3))
	b.exec(t, "UPDATE usage_pending SET records = 4")
	require.True(t, foundLess(b.compact(t.Context())))
	require.EqualValues(t, 1, b.count(t, "SELECT count(*) FROM usage_pending"))
	require.Zero(t, b.count(t, "SELECT count(*) FROM usage_rollups"))
	b.exec(t, "UPDATE usage_pending SET records = 3")
	b.requireRequests(t, 3)
	b.requireRollupsEqualRecords(t)
}
