package usage

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// TestStatsReadFewRecords has a month of 20,000 compacted records and 50 pending
// ones: an answer reads the pending ones and the cells at the range's edges, and
// no month outside the range.
func TestStatsReadFewRecords(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	start := at(t, "2024-03-01T00:07:00Z")
	for _, month := range []string{"2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z"} {
		require.NoError(t, b.months.ensure(t.Context(), b.pool, at(t, month)))
		b.exec(t, `WITH written AS (
				INSERT INTO usage_records (occurred_at, id, api_key_id, account_id, batch_id, requests, input_tokens, output_tokens,
					cache_creation_tokens, cache_read_tokens, total_tokens, cost, account_type, model)
				SELECT $2::timestamptz + n * interval '2 minutes', gen_random_uuid(), $1, $3, nextval('usage_batch_id'),
					1, 0, 0, 0, 0, 0, 0, '', 'm' FROM generate_series(1, 20000) AS n
				RETURNING batch_id, occurred_at
			)
			INSERT INTO usage_pending SELECT batch_id, occurred_at, occurred_at, 1 FROM written WHERE batch_id % 400 = 0`,
			b.keys[0], at(t, month), accounts[1])
	}
	b.exec(t, "ANALYZE usage_records, usage_pending")
	for _, q := range []StatsQuery{{APIKeyID: b.keys[0]}, {AccountID: accounts[1]}, {}} {
		q.StartDate, q.EndDate, q.Granularity = start, start.AddDate(0, 0, 27), Day
		p, err := q.plan()
		require.NoError(t, err)
		for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
			read := b.read(t, mode, p)
			require.Less(t, read["usage_records_2024_03"], int64(1000), "%s %+v", mode, q)
			require.Zero(t, read["usage_records_2024_02"]+read["usage_records_2024_04"], "%s %+v", mode, q)
		}
	}
}

// read runs a query and tells how many rows it took from each table.
func (b *bundle) read(t *testing.T, mode string, p plan) map[string]int64 {
	t.Helper()
	read := b.readBy(t, mode, func(ctx context.Context, tx pgx.Tx) error {
		_, err := b.cells(ctx, tx, &p)
		return err
	})
	require.Positive(t, read["usage_records_2024_03"])
	return read
}

func (b *bundle) readBy(t *testing.T, mode string, figures func(context.Context, pgx.Tx) error) map[string]int64 {
	t.Helper()
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background()) //nolint:errcheck // it only read
	_, err = tx.Exec(t.Context(), "SET LOCAL plan_cache_mode = "+mode)
	require.NoError(t, err)
	before := rowsRead(t, tx) // transactions before count in it, for a while
	require.NoError(t, figures(t.Context(), tx))
	read := rowsRead(t, tx)
	for table, n := range before {
		read[table] -= n
	}
	return read
}

func rowsRead(t *testing.T, tx pgx.Tx) map[string]int64 {
	t.Helper()
	rows, err := tx.Query(t.Context(), `SELECT relname::text, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
		FROM pg_stat_xact_user_tables`)
	require.NoError(t, err)
	read := make(map[string]int64)
	var table string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&table, &n}, func() error {
		read[table] = n
		return nil
	})
	require.NoError(t, err)
	return read
}

// TestFiguresReadFewSpans has 200 keys with an opening balance each and a day of hours
// in a year that the range is not in: an answer reads the spans of its range, and of
// another key none.
func TestFiguresReadFewSpans(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	start := at(t, "2025-03-01T00:00:00Z")
	b.exec(t, `INSERT INTO usage_imported (scope, id, model, resolution, starts_at, ends_at,
			requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost)
		SELECT s.scope, k.id, 'm', r.resolution, r.starts_at, r.ends_at, 1, 0, 0, 0, 0, 0, 0
		FROM (VALUES ('key'), ('account')) AS s(scope)
		CROSS JOIN (SELECT $1::uuid AS id UNION ALL SELECT gen_random_uuid() FROM generate_series(1, 200)) AS k
		CROSS JOIN (
			SELECT 'opening' AS resolution, '2000-01-01Z'::timestamptz AS starts_at, '2024-01-01Z'::timestamptz AS ends_at
			UNION ALL SELECT 'hour', at, at + interval '1 hour' FROM generate_series('2024-06-01Z', '2024-06-01T23:00Z', interval '1 hour') AS at
			UNION ALL SELECT 'hour', at, at + interval '1 hour' FROM generate_series('2025-03-01Z', '2025-03-01T01:00Z', interval '1 hour') AS at
		) AS r`, b.keys[0])
	b.exec(t, "ANALYZE usage_imported")
	for _, c := range []struct {
		StatsQuery

		want int64
	}{{StatsQuery{APIKeyID: b.keys[0]}, 2}, {StatsQuery{AccountID: b.keys[0]}, 2}, {StatsQuery{}, 0}, {StatsQuery{GroupBy: ByAPIKey}, 402}, {StatsQuery{GroupBy: ByAccount}, 402}} {
		c.StartDate, c.EndDate, c.Granularity = start, start.AddDate(0, 0, 27), Day
		p, err := c.plan()
		require.NoError(t, err)
		for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
			read := b.readBy(t, mode, func(ctx context.Context, tx pgx.Tx) error {
				if _, err := b.cells(ctx, tx, &p); err != nil {
					return err
				}
				s, err := b.spansOf(ctx, tx, &p)
				require.NotEmpty(t, s.cells)
				return err
			})
			require.LessOrEqual(t, read["usage_imported"], c.want+40, "%s %+v", mode, c.StatsQuery) // and the few others of the key, and whether there are any
		}
	}
}
