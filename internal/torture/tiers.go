package torture

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// tiers are the rollups: the columns that tell their cells apart, and what these are
// in terms of the quarters of an hour by which the audit sums the records.
var tiers = []struct{ name, from, columns, keys string }{
	{"usage_rollups", "usage_rollups", "api_key_id, account_id, model, bucket", "api_key_id, account_id, model, quarter"},
	{"usage_rollups_hourly", "usage_rollups_hourly", "api_key_id, account_id, model, bucket", "api_key_id, account_id, model, date_trunc('hour', quarter, 'UTC')"},
	{"usage_rollups_daily", "usage_rollups_daily", "api_key_id, account_id, model, bucket", "api_key_id, account_id, model, date_trunc('day', quarter, 'UTC')"},
	{"usage_rollups_global", "usage_rollups_global", "model, bucket", "model, quarter"},
	{"usage_rollups_global_daily", "usage_rollups_global_daily", "model, bucket", "model, date_trunc('day', quarter, 'UTC')"},
	{"usage_totals of keys", "usage_totals WHERE kind = 'key'", "id", "api_key_id"},
	{"usage_totals of accounts", "usage_totals WHERE kind = 'account'", "id", "account_id"},
}

// tiersQuery counts, for each tier, the cells whose figures and those of the pending
// records are together not the sums of all records. The records are summed once, by
// quarter of an hour; a cell that is right sums up to zero.
var tiersQuery = func() string {
	each := func(before, after string) string {
		figures := []string{"requests", "input_tokens", "output_tokens", "cache_creation_tokens", "cache_read_tokens", "total_tokens", "cost"}
		for i, f := range figures {
			figures[i] = strings.ReplaceAll(before+"%"+after, "%", f)
		}
		return strings.Join(figures, ", ")
	}
	quarters := `SELECT api_key_id, account_id, model, date_bin('15 minutes', occurred_at, '2000-01-01T00:00:00Z') AS quarter,
		count(*) AS records, ` + each("sum(", ") AS %") + " FROM %s GROUP BY 1, 2, 3, 4"
	var parts []string
	for _, t := range tiers {
		parts = append(parts, fmt.Sprintf(`SELECT '%s' AS tier, count(*) AS cells FROM (
			SELECT FROM (
				SELECT %s, records, %s FROM %s
				UNION ALL SELECT %s, records, %s FROM pending
				UNION ALL SELECT %s, -records, %s FROM listed
			) AS c GROUP BY %s HAVING (sum(records), %s) <> (0, 0, 0, 0, 0, 0, 0, 0)) AS wrong`,
			t.name, t.columns, each("", ""), t.from, t.keys, each("", ""), t.keys, each("-", ""), t.columns, each("sum(", ")")))
	}
	return "WITH listed AS MATERIALIZED (" + fmt.Sprintf(quarters, "usage_records") +
		"), pending AS MATERIALIZED (" + fmt.Sprintf(quarters, "usage_pending_records") + ")\n" + strings.Join(parts, "\nUNION ALL ")
}()

// wrongCells gives the number of wrong cells by tier; right tiers are left out.
func wrongCells(ctx context.Context, tx pgx.Tx) (map[string]int64, error) {
	rows, err := tx.Query(ctx, tiersQuery)
	if err != nil {
		return nil, err
	}
	found := make(map[string]int64)
	var tier string
	var cells int64
	_, err = pgx.ForEachRow(rows, []any{&tier, &cells}, func() error {
		if cells > 0 {
			found[tier] = cells
		}
		return nil
	})
	return found, err
}
