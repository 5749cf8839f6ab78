package usage

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// spend records costs of one model at their times.
func (b *bundle) spend(t *testing.T, costs map[string]string) {
	t.Helper()
	for moment, cost := range costs {
		r := sample(b.keys[0])
		r.Timestamp, r.Cost = at(t, moment), result.MustMoney(cost)
		require.NoError(t, b.RecordUsage(t.Context(), r).Err())
	}
}

// TestTrendsHaveEveryDay has the days that the clocks of a zone showed: of 23 and 25
// hours, one that never was, and one that was there twice.
func TestTrendsHaveEveryDay(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.spend(t, map[string]string{
		"2025-03-09T04:59:59Z": "1", "2025-03-09T05:00:00Z": "2", "2025-03-10T03:59:59Z": "4", "2025-03-10T04:00:00Z": "9", // New York
		"2011-12-30T09:59:59Z": "3", "2011-12-30T10:00:00Z": "1", // Apia
		"2025-04-05T12:59:59Z": "7", "2025-04-05T13:00:00Z": "8", "2025-04-06T13:29:59Z": "8", "2025-04-06T13:30:00Z": "4", // Lord Howe
		"2010-11-07T02:30:30Z": "5", "2010-11-07T02:31:00Z": "6", "2010-11-07T03:30:00Z": "7", // St. John's
	})
	for range 2 {
		for _, c := range []struct{ zone, start, end, want string }{
			{"America/New_York", "2025-03-07T05:00:00Z", "2025-03-12T04:00:00Z", "2025-03-07 0 0; 2025-03-08 1 0; 2025-03-09 6 5; 2025-03-10 9 0.5; 2025-03-11 0 -1"},
			{"Pacific/Apia", "2011-12-29T10:00:00Z", "2012-01-01T10:00:00Z", "2011-12-29 3 0; 2011-12-31 1 -0.666666666667; 2012-01-01 0 -1"},
			{"Australia/Lord_Howe", "2025-04-04T13:00:00Z", "2025-04-08T13:30:00Z", "2025-04-05 7 0; 2025-04-06 16 1.285714285714; 2025-04-07 4 -0.75; 2025-04-08 0 -1"},
			{"America/St_Johns", "2010-11-06T02:30:00Z", "2010-11-08T03:30:00Z", "2010-11-06 6 0; 2010-11-07 12 1"},
		} {
			q := CostQuery{StartDate: at(t, c.start), EndDate: at(t, c.end), GroupBy: ByDay, TimeZone: c.zone}
			a, err := b.GetCostAnalysis(t.Context(), q).Get()
			require.NoError(t, err)
			var days []string
			for i, d := range a.Trends {
				days = append(days, fmt.Sprintf("%s %s %s", d.Date, d.Cost, d.Change))
				require.Equal(t, d.Date, a.CostBreakdown[i].Category)
				require.True(t, d.Cost.Equal(a.CostBreakdown[i].Cost))
			}
			require.Equal(t, c.want, strings.Join(days, "; "), c.zone)
			require.Len(t, a.CostBreakdown, len(days))
		}
		require.NoError(t, b.compact(t.Context()))
	}
}

// TestTopModels has twelve models, three of which cost the same, and free ones.
func TestTopModels(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	costs := []string{"1", "2", "3", "4", "5", "5", "5", "8", "9", "0", "11", "0.000000000001"}
	for i, cost := range costs {
		r := sample(b.keys[0])
		r.Model, r.Cost, r.RequestCount, r.Timestamp = string(rune('a'+i)), result.MustMoney(cost), int64(i), at(t, "2025-09-16T08:00:00Z")
		require.NoError(t, b.RecordUsage(t.Context(), r).Err())
	}
	a, err := b.GetCostAnalysis(t.Context(), costsOf("2025-09-16", ByModel)).Get()
	require.NoError(t, err)
	var top, all []string
	for _, m := range a.TopModels {
		require.EqualValues(t, m.Model[0]-'a', m.Requests)
		top = append(top, m.Model)
	}
	for _, s := range a.CostBreakdown {
		all = append(all, s.Category)
	}
	require.Equal(t, "kihefgdcba", strings.Join(top, ""))
	require.Equal(t, "kihefgdcbalj", strings.Join(all, ""), "every model, the tenth dearest of twelve included")
}

// costsOf asks for one UTC day.
func costsOf(day string, by GroupBy) CostQuery {
	start, err := time.Parse(time.DateOnly, day)
	if err != nil {
		panic(err)
	}
	return CostQuery{StartDate: start, EndDate: start.AddDate(0, 0, 1), GroupBy: by}
}

// TestCostsOfTheDeleted keeps figures and names of what is deleted; an account that
// was never one of ours has no name, and neither has none.
func TestCostsOfTheDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.nameAccounts(t)
	stranger := uuid.NewString()
	for i, account := range []string{"", stranger, accounts[1], accounts[2]} {
		r := sample(b.keys[0])
		r.AccountID, r.Cost, r.Timestamp = account, result.MustMoney("0.25"), at(t, "2025-09-16T08:00:00Z").Add(time.Duration(i)*time.Second)
		require.NoError(t, b.RecordUsage(t.Context(), r).Err())
	}
	b.exec(t, "UPDATE api_keys SET deleted_at = now(), is_active = false WHERE id = $1", b.keys[0])
	for range 2 {
		for _, key := range []string{"", b.keys[0]} {
			q := costsOf("2025-09-16", ByAccount)
			q.APIKeyID = key
			a, err := b.GetCostAnalysis(t.Context(), q).Get()
			require.NoError(t, err)
			names := map[string]string{}
			for _, s := range a.CostBreakdown {
				require.Equal(t, "25", s.Percentage.String())
				names[s.Category] = s.Name
			}
			require.Equal(t, map[string]string{"": "", stranger: "", accounts[1]: "kept", accounts[2]: "deleted"}, names)
		}
		for _, by := range []GroupBy{ByAccount, ByAPIKey} {
			s, err := b.GetUsageStats(t.Context(), StatsQuery{
				StartDate: at(t, "2025-09-16T00:00:00Z"), EndDate: at(t, "2025-09-17T00:00:00Z"), Granularity: Day, GroupBy: by,
			}).Get()
			require.NoError(t, err)
			if by == ByAPIKey {
				require.Equal(t, "key 0", s.Stats[0].APIKeys[b.keys[0]].Name)
				continue
			}
			require.Equal(t, "deleted", s.Stats[0].Accounts[accounts[2]].Name)
			require.Empty(t, s.Stats[0].Accounts[""].Name)
		}
		require.NoError(t, b.compact(t.Context()))
	}
}

func TestCostsOfNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	for by, breakdown := range map[GroupBy]string{
		ByDay: `[{"category":"2025-09-16","cost":0,"percentage":0}]`, ByModel: `[]`, ByAccount: `[]`,
	} {
		for _, key := range []string{"", b.keys[0], uuid.NewString()} {
			q := costsOf("2025-09-16", by)
			q.APIKeyID = key
			a, err := b.GetCostAnalysis(t.Context(), q).Get()
			require.NoError(t, err)
			require.JSONEq(t, `{"costBreakdown":`+breakdown+`,"trends":[{"date":"2025-09-16","cost":0,"change":0}],"topModels":[]}`, indented(t, a))
		}
	}
}

func TestBadCostQueries(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	long := strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		name, field string
		spoil       func(*CostQuery)
	}{
		{"key is no UUID", "apiKeyId", func(q *CostQuery) { q.APIKeyID = "' OR 1=1 --" }},
		{"key with a NUL", "apiKeyId", func(q *CostQuery) { q.APIKeyID = "\x00" }},
		{"key of a megabyte", "apiKeyId", func(q *CostQuery) { q.APIKeyID = long }},
		{"key is the nil UUID", "apiKeyId", func(q *CostQuery) { q.APIKeyID = uuid.Nil.String() }},
		{"no grouping", "groupBy", func(q *CostQuery) { q.GroupBy = "" }},
		{"a grouping of stats", "groupBy", func(q *CostQuery) { q.GroupBy = ByAPIKey }},
		{"grouping in other letters", "groupBy", func(q *CostQuery) { q.GroupBy = "Day" }},
		{"grouping with a NUL", "groupBy", func(q *CostQuery) { q.GroupBy = "day\x00" }},
		{"grouping of a megabyte", "groupBy", func(q *CostQuery) { q.GroupBy = GroupBy(long) }},
		{"no start", "startDate", func(q *CostQuery) { q.StartDate = time.Time{} }},
		{"no end", "endDate", func(q *CostQuery) { q.EndDate = time.Time{} }},
		{"end before start", "endDate", func(q *CostQuery) { q.EndDate = q.StartDate.Add(-time.Hour) }},
		{"nothing between", "endDate", func(q *CostQuery) { q.EndDate = q.StartDate.Add(time.Nanosecond) }},
		{"start too early", "startDate", func(q *CostQuery) { q.StartDate = time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"end too late", "endDate", func(q *CostQuery) { q.EndDate = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"too many days", "endDate", func(q *CostQuery) { q.EndDate = q.StartDate.AddDate(0, 0, 10_001) }},
		{"all of time", "endDate", func(q *CostQuery) {
			q.StartDate, q.EndDate = time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
		}},
		{"zone of nowhere", "timeZone", func(q *CostQuery) { q.TimeZone = "Mars/Olympus" }},
		{"zone of this machine", "timeZone", func(q *CostQuery) { q.TimeZone = "Local" }},
		{"zone is a path", "timeZone", func(q *CostQuery) { q.TimeZone = "../../etc/passwd" }},
		{"zone with a NUL", "timeZone", func(q *CostQuery) { q.TimeZone = "UTC\x00" }},
		{"zone of a megabyte", "timeZone", func(q *CostQuery) { q.TimeZone = long }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			q := costsOf("2025-09-16", ByDay)
			c.spoil(&q)
			err := b.GetCostAnalysis(t.Context(), q).Err()
			requireRefused(t, err, result.InvalidQuery, c.field)
			require.Less(t, len(err.Error()), 100)
		})
	}
	q := costsOf("2000-01-01", ByDay)
	q.EndDate = q.StartDate.AddDate(0, 0, 10_000)
	a, err := b.GetCostAnalysis(t.Context(), q).Get()
	require.NoError(t, err)
	require.Len(t, a.Trends, 10_000)
}

// TestCostsAreBounded has more cells than an answer may: of an account and a model,
// then of a day and a model.
func TestCostsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	const cells = `INSERT INTO %s (bucket, %s records, requests, input_tokens, output_tokens, cache_creation_tokens,
		cache_read_tokens, total_tokens, cost, model)
		SELECT '2025-09-16Z', %s 1, 1, 0, 0, 0, 0, 0, 1, 'm' || n FROM generate_series(1, %d) AS n`
	ask := func(by GroupBy) error { return b.GetCostAnalysis(t.Context(), costsOf("2025-09-16", by)).Err() }
	b.exec(t, fmt.Sprintf(cells, "usage_rollups_daily", "api_key_id, account_id,", "gen_random_uuid(), '"+accounts[1]+"',", maxCells+1))
	require.NoError(t, ask(ByModel), "which reads another tier")
	requireRefused(t, ask(ByAccount), result.InvalidQuery, "endDate")
	b.exec(t, fmt.Sprintf(cells, "usage_rollups_global_daily", "", "", maxCells+1))
	requireRefused(t, ask(ByModel), result.InvalidQuery, "endDate")
}
