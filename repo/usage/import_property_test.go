package usage

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// TestFiguresContainImports compares every figure with a sum over the lists of records
// and of spans, some of which are set again, to other figures or to none.
func TestFiguresContainImports(t *testing.T) {
	t.Parallel()
	b := setup(t, 3)
	names := b.nameAccounts(t)
	for i, k := range b.keys {
		names[k] = fmt.Sprintf("key %d", i)
	}
	rapid.Check(t, func(rt *rapid.T) {
		b.forget(t)
		b.exec(t, "TRUNCATE usage_imported, usage_imported_global")
		records := model{names: names}
		imported := importedModel{map[spanID]ImportedSpan{}, names}
		g := generator{rt, b.keys, rapid.SampledFrom(nights).Draw(rt, "night").at}
		for range rapid.IntRange(0, 2).Draw(rt, "batches") {
			entries := g.entries()
			writeBatch(t, b, entries)
			for _, e := range entries {
				records.records = append(records.records, e.Record)
			}
			if rapid.Bool().Draw(rt, "compact") {
				require.NoError(t, b.compact(t.Context()))
			}
		}
		for range rapid.IntRange(1, 3).Draw(rt, "imports") {
			imported.take(t, b, g)
		}
		for range rapid.IntRange(1, 4).Draw(rt, "queries") {
			q := g.query()
			loc := zone(t, q.TimeZone)
			want := records.stats(q, loc)
			imported.addTo(&want, q, loc)
			got, err := b.GetUsageStats(t.Context(), q).Get()
			require.NoError(t, err)
			require.Equal(rt, indented(t, want), indented(t, got), "%+v", q)
			if q.AccountID == "" && q.Model == "" {
				requireCostsLikeStats(rt, b, q)
			}
		}
		requireSums(rt, b, g)
	})
}

// take imports some spans, twice.
func (m importedModel) take(t *testing.T, b *bundle, g generator) {
	t.Helper()
	some := map[spanID]ImportedSpan{}
	for range rapid.IntRange(1, 10).Draw(g.T, "spans") {
		importedModel{spans: some}.set(g.span())
	}
	for _, id := range slices.SortedFunc(maps.Keys(m.spans), func(a, b spanID) int { return int(a.start - b.start) }) {
		if s := m.spans[id]; rapid.Bool().Draw(g.T, "again") {
			g.setFigures(&s)
			some[id] = s
		}
	}
	spans := slices.Collect(maps.Values(some))
	done, err := b.Import(t.Context(), spans).Get()
	require.NoError(g.T, err)
	for _, s := range spans {
		m.set(s)
	}
	require.EqualValues(g.T, len(spans), done.Written+done.Unchanged+done.Removed)
	require.EqualValues(g.T, len(m.spans), b.count(t, "SELECT count(*) FROM usage_imported"))
	require.Equal(g.T, b.count(t, "SELECT count(*) FROM usage_imported WHERE scope = 'key'"),
		b.count(t, "SELECT coalesce(sum(spans), 0)::bigint FROM usage_imported_global WHERE spans > 0"))
	again, err := b.Import(t.Context(), spans).Get()
	require.NoError(g.T, err)
	require.Equal(g.T, ImportResult{Unchanged: int64(len(spans))}, again)
}

// requireCostsLikeStats tells that an analysis shows the same costs as the figures by
// day, from each side, and that by account what no account has is nobody's.
func requireCostsLikeStats(t *rapid.T, b *bundle, q StatsQuery) {
	q.Granularity, q.GroupBy = Day, ByAccount
	stats, err := b.GetUsageStats(t.Context(), q).Get()
	require.NoError(t, err)
	costs, err := b.GetCostAnalysis(t.Context(), CostQuery{
		APIKeyID: q.APIKeyID, StartDate: q.StartDate, EndDate: q.EndDate, TimeZone: q.TimeZone, GroupBy: ByAccount,
	}).Get()
	require.NoError(t, err)
	byModel, byAccount := map[string]result.Money{}, map[string]result.Money{"": {}}
	var named, all result.Money
	for i, day := range stats.Stats {
		require.Equal(t, day.Date, costs.Trends[i].Date)
		require.Equal(t, day.Cost.String(), costs.Trends[i].Cost.String())
		require.Equal(t, day.Approximate, costs.Trends[i].Approximate)
		all = all.Add(day.Cost)
		for m, f := range day.Models {
			byModel[m] = byModel[m].Add(f.Cost)
		}
		for id, f := range day.Accounts {
			byAccount[id] = byAccount[id].Add(f.Cost)
			named = named.Add(f.Cost)
		}
	}
	if all.Cmp(named) > 0 {
		byAccount[""] = byAccount[""].Add(result.NewMoney(all.Decimal().Sub(named.Decimal())))
	}
	for _, m := range costs.TopModels {
		require.Equal(t, byModel[m.Model].String(), m.Cost.String(), m.Model)
	}
	require.Len(t, costs.TopModels, len(byModel))
	for _, s := range costs.CostBreakdown {
		require.Equal(t, byAccount[s.Category].String(), s.Cost.String(), s.Category)
		delete(byAccount, s.Category)
	}
	require.True(t, byAccount[""].IsZero())
	delete(byAccount, "")
	require.Empty(t, byAccount)
}

// requireSums tells that sums and totals are those of the figures of one id.
func requireSums(t *rapid.T, b *bundle, g generator) {
	bounds := []time.Time{firstTime}
	for range 2 {
		if next := g.time(4 * 24 * time.Hour).Truncate(time.Hour); next.After(bounds[len(bounds)-1]) {
			bounds = append(bounds, next)
		}
	}
	bounds = append(bounds, time.Now().Truncate(time.Hour).Add(48*time.Hour))
	q := StatsQuery{StartDate: bounds[0], EndDate: bounds[len(bounds)-1], Granularity: Month}
	scope, ids := ScopeKey, b.keys
	id := rapid.SampledFrom(ids).Draw(t, "sum of key")
	if q.APIKeyID = id; rapid.Bool().Draw(t, "sum of account") {
		scope, ids = ScopeAccount, accounts[1:]
		id = rapid.SampledFrom(ids).Draw(t, "sum of")
		q.APIKeyID, q.AccountID = "", id
	}
	sums, err := b.Sums(t.Context(), scope, ids, bounds).Get()
	require.NoError(t, err)
	var got Figures
	for _, f := range sums[id] {
		got.add(f)
	}
	all, err := b.GetUsageStats(t.Context(), q).Get()
	require.NoError(t, err)
	require.Equal(t, []any{all.Summary.TotalRequests, all.Summary.TotalTokens, all.Summary.TotalCost.String()},
		[]any{got.Requests, got.TotalTokens, got.Cost.String()})
	if scope == ScopeAccount {
		totals, err := b.AccountTotals(t.Context(), []uuid.UUID{uuid.MustParse(id)})
		require.NoError(t, err)
		of := totals[uuid.MustParse(id)]
		require.Equal(t, []any{got.Requests, got.TotalTokens, got.Cost.String()}, []any{of.Requests, of.Tokens, of.Cost.String()})
	}
	spans, err := b.Imported(t.Context(), scope, []string{id}).Get()
	require.NoError(t, err)
	for i, f := range sums[id] { // an opening balance that two slots share counts in neither's own range
		q.StartDate, q.EndDate = bounds[i], bounds[i+1]
		one, err := b.GetUsageStats(t.Context(), q).Get()
		require.NoError(t, err)
		for _, s := range spans {
			if s.Resolution == SpanOpening && !s.Start.Before(q.StartDate) && s.Start.Before(q.EndDate) && s.End.After(q.EndDate) {
				one.Summary.TotalRequests += s.Requests
			}
		}
		require.Equal(t, one.Summary.TotalRequests, f.Requests)
	}
}
