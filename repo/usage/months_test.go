package usage

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func (b *bundle) partitions(t *testing.T) (names []string) {
	t.Helper()
	rows, err := b.pool.Query(t.Context(), `SELECT inhrelid::regclass::text FROM pg_inherits
		WHERE inhparent = 'usage_records'::regclass ORDER BY 1`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		names = append(names, name)
	}
	require.NoError(t, rows.Err())
	return names
}

func TestRecordMakesItsMonth(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	require.Empty(t, b.partitions(t))
	for _, moment := range []string{
		"2000-01-01T00:00:00Z", "2024-02-29T23:59:59.999999Z", "2024-03-01T00:00:00Z", "2024-02-29T22:00:00-03:00",
	} {
		r := sample(b.keys[0])
		r.Timestamp = at(t, moment)
		require.NoError(t, b.RecordUsage(t.Context(), r).Err())
	}
	require.Equal(t, []string{"usage_records_2000_01", "usage_records_2024_02", "usage_records_2024_03"}, b.partitions(t))
	require.EqualValues(t, 2, b.count(t, "SELECT count(*) FROM usage_records_2024_03"))
	b.requireRequests(t, 4)
}

// TestDroppedMonthIsMadeAgain drops a partition behind the back of a process that
// knows it.
func TestDroppedMonthIsMadeAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	r := sample(b.keys[0])
	r.Timestamp = at(t, "2024-02-10T00:00:00Z")
	for range 2 {
		require.NoError(t, b.RecordUsage(t.Context(), r).Err())
		require.NoError(t, b.compact(t.Context()))
		b.exec(t, "DROP TABLE usage_records_2024_02")
	}
	require.NoError(t, b.RecordUsage(t.Context(), r).Err())
	require.EqualValues(t, 1, b.count(t, "SELECT count(*) FROM usage_records"))
	b.requireRequests(t, 3)
}

// TestMonthsAtOnce lets processes that know no month begin the same ones together.
func TestMonthsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			fresh := months{queries: b.queries}
			for m := range time.Month(12) {
				if errs[i] = fresh.ensure(t.Context(), b.pool, time.Date(2024, m+1, 1, 0, 0, 0, 0, time.UTC)); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Len(t, b.partitions(t), 12)
}

func TestMonthOutOfRange(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	for _, month := range []time.Time{
		firstTime.Add(-time.Microsecond), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Now().AddDate(0, 2, 0),
		time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		err := b.months.ensure(t.Context(), b.pool, month)
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg)
		require.Equal(t, "22008", pg.Code) // datetime_field_overflow
	}
	require.Empty(t, b.partitions(t))
}

// TestMonthsBeginWhileCompacting attaches a partition for each record while
// compactors run: one that has planned before it and looks after it finds no
// record, and must not take the batch for done.
func TestMonthsBeginWhileCompacting(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	writing, stop := context.WithCancel(t.Context())
	defer stop()
	var compactors sync.WaitGroup
	for range 3 {
		compactors.Go(func() {
			for writing.Err() == nil {
				_, err := b.compactSome(t.Context(), compactBatches)
				require.True(t, err == nil || foundLess(err), "%v", err)
			}
		})
	}
	const n = 40
	for i := range n {
		r := sample(b.keys[0])
		r.Timestamp = firstTime.AddDate(0, i, 0)
		require.NoError(t, b.RecordUsage(t.Context(), r).Err())
	}
	stop()
	compactors.Wait()
	b.requireRequests(t, n)
	b.requireRollupsEqualRecords(t)
}
