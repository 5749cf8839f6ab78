package usage

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// TestCostsEqualTheRecords compares every analysis with one of the list of records,
// some of them compacted, some pending, and some of them only sums any more.
func TestCostsEqualTheRecords(t *testing.T) {
	t.Parallel()
	b := setup(t, 3)
	m := costModel{names: b.nameAccounts(t)}
	rapid.Check(t, func(rt *rapid.T) {
		b.forget(t)
		m.rolled, m.pending, m.cleaned = nil, nil, false
		g := generator{rt, b.keys, rapid.SampledFrom(nights).Draw(rt, "night").at}
		write := func() {
			entries := g.entries()
			if rapid.Bool().Draw(rt, "evenly") { // so that remainders are equal
				for i := range entries {
					entries[i].Cost = result.NewMoney(decimal.New(rapid.Int64Range(0, 3).Draw(rt, "cents"), -2))
				}
			}
			writeBatch(t, b, entries)
			for _, e := range entries {
				m.pending = append(m.pending, e.Record)
			}
		}
		compact := func() {
			require.NoError(t, b.compact(t.Context()))
			m.rolled, m.pending = append(m.rolled, m.pending...), nil
		}
		for range rapid.IntRange(1, 4).Draw(rt, "batches") {
			write()
			if rapid.Bool().Draw(rt, "compact") {
				compact()
			}
		}
		if m.cleaned = rapid.Bool().Draw(rt, "clean"); m.cleaned {
			compact()
			_, err := b.CleanupOldStats(t.Context(), 1).Get()
			require.NoError(t, err)
			require.Zero(t, b.count(t, "SELECT count(*) FROM usage_records"))
			if rapid.Bool().Draw(rt, "late") {
				write()
			}
		}
		for range rapid.IntRange(1, 8).Draw(rt, "queries") {
			q := g.costQuery()
			got, err := b.GetCostAnalysis(t.Context(), q).Get()
			require.NoError(t, err)
			require.Equal(rt, indented(t, m.costs(q, zone(t, q.TimeZone))), indented(t, got), "%+v", q)
		}
	})
}

func (g generator) costQuery() CostQuery {
	q := g.query()
	return CostQuery{
		APIKeyID: q.APIKeyID, StartDate: q.StartDate, EndDate: q.EndDate, TimeZone: q.TimeZone,
		GroupBy: rapid.SampledFrom([]GroupBy{ByDay, ByModel, ByAccount}).Draw(g.T, "side"),
	}
}

// forget empties the ledger.
func (b *bundle) forget(t *testing.T) {
	t.Helper()
	b.exec(t, `TRUNCATE usage_records, usage_pending, usage_rollups, usage_rollups_hourly, usage_rollups_daily,
		usage_rollups_global, usage_rollups_global_daily, usage_totals`)
	b.exec(t, "UPDATE usage_horizon SET records_from = $1, rollups_from = $1 WHERE true", firstTime)
	b.horizon.Store(&firstTime)
}

// nameAccounts makes one account and one that is deleted.
func (b *bundle) nameAccounts(t *testing.T) map[string]string {
	t.Helper()
	names := map[string]string{accounts[1]: "kept", accounts[2]: "deleted"}
	for id, name := range names {
		b.exec(t, `INSERT INTO accounts (id, platform, name, created_at, updated_at, deleted_at)
			VALUES ($1, 'claude', $2, now(), now(), CASE $2 WHEN 'deleted' THEN $3::timestamptz END)`, id, name, time.Now())
	}
	return names
}
