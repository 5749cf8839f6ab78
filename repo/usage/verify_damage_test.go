package usage

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// tierTable is a tier as a test damages it.
type tierTable struct {
	name string
	keys string // its primary key
	pick string // what names one of its rows
	move string // a change of one key column, which makes a row of nothing
}

var tierTables = []tierTable{
	{"usage_rollups", "api_key_id, bucket, account_id, model", "", "model = 'ghost'"},
	{"usage_rollups_hourly", "api_key_id, bucket, account_id, model", "", "model = 'ghost'"},
	{"usage_rollups_daily", "api_key_id, bucket, account_id, model", "", "account_id = 'cccccccc-cccc-4ccc-8ccc-cccccccccccc'"},
	{"usage_rollups_global", "bucket, model", "", "model = 'ghost'"},
	{"usage_rollups_global_daily", "bucket, model", "", "bucket = bucket - interval '72 hours'"},
	{"usage_totals", "kind, id", "kind = 'key'", "id = 'ffffffff-ffff-ffff-ffff-ffffffffffff'"},
	{"usage_totals", "kind, id", "kind = 'account'", "id = 'dddddddd-dddd-4ddd-8ddd-dddddddddddd'"},
}

// damages are what can be wrong with a row: that it is not there, that it should
// not be, and each of its figures.
var damages = []string{
	"missing", "extra", "records", "requests", "input_tokens", "output_tokens", "cache_creation_tokens", "cache_read_tokens", "total_tokens", "cost",
}

// spread records in many cells of three days, compacted but for the last batch.
func (b *bundle) spread(t *testing.T) {
	t.Helper()
	start := at(t, "2025-03-01T00:00:00Z")
	var entries []entry
	for i := range 120 {
		r := sample(b.keys[i%len(b.keys)])
		r.AccountID, r.Model = accounts[i/3%3], models[i/2%len(models)]
		r.Timestamp = start.Add(time.Duration(i/5%3)*day + time.Duration(i%7)*11*time.Minute + time.Duration(i)*time.Second)
		r.CacheReadTokens, r.CacheCreationTokens = int64(i), int64(2*i)
		entries = append(entries, checked(t, r))
	}
	writeBatch(t, b, entries[:100])
	require.NoError(t, b.compact(t.Context()))
	writeBatch(t, b, entries[100:])
}

func (b *bundle) verify(t *testing.T, repair bool) VerifyReport {
	t.Helper()
	rep, err := b.Verify(t.Context(), VerifyOptions{Repair: repair})
	require.NoError(t, err)
	require.Empty(t, rep.Unchecked)
	return rep
}

// damage hurts one row of a tier and gives the cell as a report names it.
func (b *bundle) damage(t *testing.T, tier tierTable, how string) WrongCell {
	t.Helper()
	where := ""
	if tier.pick != "" {
		where = " AND " + tier.pick
	}
	row := fmt.Sprintf("(%s) = (SELECT %s FROM %s WHERE true%s ORDER BY 1, 2 OFFSET 1 LIMIT 1)", tier.keys, tier.keys, tier.name, where)
	change, fault := fmt.Sprintf("UPDATE %s SET %s = %s + 1 WHERE %s", tier.name, how, how, row), "figures"
	switch how {
	case "missing":
		change, fault = fmt.Sprintf("DELETE FROM %s WHERE %s", tier.name, row), "missing"
	case "extra":
		change, fault = b.copied(t, tier, row), "extra"
	}
	rows, err := b.pool.Query(t.Context(), change+" RETURNING to_jsonb("+tier.name+")")
	require.NoError(t, err)
	changed, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[map[string]any])
	require.NoError(t, err)
	return cellOf(t, tier, changed, fault)
}

// copied makes a row of a tier with another key.
func (b *bundle) copied(t *testing.T, tier tierTable, row string) string {
	t.Helper()
	column, value, _ := strings.Cut(tier.move, " = ")
	var columns []string
	rows, err := b.pool.Query(t.Context(), "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0", tier.name)
	require.NoError(t, err)
	columns, err = pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	values := strings.Replace(strings.Join(columns, ", "), column, value, 1)
	return fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s WHERE %s", tier.name, strings.Join(columns, ", "), values, tier.name, row)
}

func cellOf(t *testing.T, tier tierTable, row map[string]any, fault string) WrongCell {
	t.Helper()
	c := WrongCell{Tier: tier.name, Fault: fault}
	text := func(column string) string { s, _ := row[column].(string); return s }
	switch row["kind"] {
	case "key":
		c.APIKeyID = text("id")
	case "account":
		c.AccountID = text("id")
	default:
		c.APIKeyID, c.AccountID, c.Model = text("api_key_id"), text("account_id"), text("model")
		bucket, err := time.Parse(time.RFC3339, text("bucket"))
		require.NoError(t, err)
		c.Bucket = bucket.UTC()
	}
	return c
}

// versions gives the physical place and the writing transaction of each row of each
// tier, by its figures.
func (b *bundle) versions(t *testing.T) map[string]string {
	t.Helper()
	versions := make(map[string]string)
	for _, tier := range tierTables {
		rows, err := b.pool.Query(t.Context(), fmt.Sprintf("SELECT '%s ' || %s::text, ctid::text || xmin::text FROM %s", tier.name, tier.name, tier.name))
		require.NoError(t, err)
		var row, version string
		_, err = pgx.ForEachRow(rows, []any{&row, &version}, func() error {
			versions[row] = version
			return nil
		})
		require.NoError(t, err)
	}
	return versions
}

// TestVerifyMonths finds and mends what the ledger's months say of it.
func TestVerifyMonths(t *testing.T) {
	t.Parallel()
	for fault, damage := range map[string]string{
		"figures": "UPDATE usage_months SET records = records + 3",
		"missing": "DELETE FROM usage_months",
	} {
		b := setup(t, 3)
		b.spread(t)
		require.Zero(t, b.verify(t, false).Wrong)
		b.exec(t, damage)
		want := []WrongCell{{Tier: "usage_months", Fault: fault, Bucket: at(t, "2025-03-01T00:00:00Z")}}
		require.Equal(t, want, b.verify(t, false).Cells)
		require.EqualValues(t, 1, b.verify(t, true).Repaired)
		require.Zero(t, b.verify(t, false).Wrong)
		require.EqualValues(t, 120, b.count(t, "SELECT records FROM usage_months")+b.count(t, "SELECT coalesce(sum(records), 0)::bigint FROM usage_pending"))
	}
}
