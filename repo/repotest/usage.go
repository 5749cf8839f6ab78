package repotest

import (
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

var usageTests = []test{
	{"figures equal a model", usageModel}, {"costs", usageCosts}, {"duplicates", usageDuplicates}, {"concurrency", usageConcurrency},
	{"errors", usageErrors}, {"money", usageMoney}, {"keys and accounts", usageKeyAccounts}, {"edges", usageEdges},
	{"zones", usageZones}, {"history", usageHistory}, {"clean up", usageCleanup},
}

func (b *bundle) record(r usage.Record) {
	b.Helper()
	if r.Model == "" {
		r.Model = "m"
	}
	if r.AccountType == "" {
		r.AccountType = "claude"
	}
	require.NoError(b, b.one.Usage.RecordUsage(b.ctx(), r).Err())
}

// today's midnight, and as many days before.
func midnight(daysAgo int) time.Time {
	return time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -daysAgo)
}

// recent is the last two days and the next one.
func recent(q usage.StatsQuery) usage.StatsQuery {
	q.StartDate, q.EndDate, q.Granularity = midnight(2), midnight(-1), usage.Day
	return q
}

// stats asks until everything that was recorded is in the figures, which is at once
// unless it is written behind.
func (b *bundle) stats(t require.TestingT, c *repo.Client, q usage.StatsQuery) usage.Stats {
	for late := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		s := get(t, c.Usage.GetUsageStats(b.ctx(), q))
		if s.OldestUnflushedMs == 0 {
			return s
		}
		require.True(t, b.caps.Behind, "nothing is written behind")
		require.True(t, time.Now().Before(late), "not flushed")
	}
}

func (b *bundle) requests(q usage.StatsQuery) int64 {
	b.Helper()
	return b.stats(b, b.two, recent(q)).Summary.TotalRequests
}

func usageCosts(b *bundle) {
	k := b.key(apikeys.KeyData{}).ID
	at := midnight(1).Add(time.Hour)
	for model, cost := range map[string]string{"cheap": "1", "dear": "2"} {
		b.record(usage.Record{APIKeyID: k, Model: model, RequestCount: 1, InputTokens: 1, TotalTokens: 1, Cost: result.MustMoney(cost), Timestamp: at})
	}
	b.requests(usage.StatsQuery{APIKeyID: k}) // until they are there
	q := usage.CostQuery{APIKeyID: k, StartDate: midnight(2), EndDate: midnight(0), GroupBy: usage.ByModel}
	if b.caps.Zone != "" {
		q.StartDate, q.EndDate, q.TimeZone = midnight(3), midnight(-1), b.caps.Zone
	}
	got := get(b, b.two.Usage.GetCostAnalysis(b.ctx(), q))
	require.Len(b, got.CostBreakdown, 2)
	require.Equal(b, "dear 2 66.67, cheap 1 33.33", fmt.Sprintf("%s %s %s, %s %s %s", got.CostBreakdown[0].Category, got.CostBreakdown[0].Cost, got.CostBreakdown[0].Percentage,
		got.CostBreakdown[1].Category, got.CostBreakdown[1].Cost, got.CostBreakdown[1].Percentage))
	require.Equal(b, []string{"dear", "cheap"}, []string{got.TopModels[0].Model, got.TopModels[1].Model})
	var trend result.Money
	for _, day := range got.Trends {
		trend = trend.Add(day.Cost)
	}
	require.True(b, trend.Equal(result.MustMoney("3")))
	q.GroupBy = usage.ByDay
	require.Len(b, get(b, b.two.Usage.GetCostAnalysis(b.ctx(), q)).CostBreakdown, len(got.Trends))
}

// usageDuplicates: a requestId counts once a key, whoever repeats it.
func usageDuplicates(b *bundle) {
	k, other := b.key(apikeys.KeyData{}).ID, b.key(apikeys.KeyData{}).ID
	r := usage.Record{APIKeyID: k, AccountType: "claude", Model: "m", RequestCount: 1, RequestID: "r1"}
	for i, c := range []*repo.Client{b.one, b.one, b.two} {
		s := c.Usage.RecordUsage(b.ctx(), r)
		require.NoError(b, s.Err())
		require.Equal(b, i > 0 && !b.caps.Behind, s.Duplicate)
	}
	require.NoError(b, b.two.APIKeys.RecordAPIKeyUsage(b.ctx(), k, apikeys.UsageData{Model: "m", RequestCount: 1, RequestID: "r1"}).Err())
	r.RequestID = ""
	b.record(r)
	b.record(r)
	require.EqualValues(b, 3, b.requests(usage.StatsQuery{APIKeyID: k}))
	r.APIKeyID, r.RequestID = other, "r1"
	b.record(r)
	require.EqualValues(b, 1, b.requests(usage.StatsQuery{APIKeyID: other}), "it is another key's")
}

func usageConcurrency(b *bundle) {
	k := b.key(apikeys.KeyData{}).ID
	require.Zero(b, b.failures(b.together(40, func(c *repo.Client, i int) error {
		r := usage.Record{APIKeyID: k, AccountType: "claude", Model: "m", RequestCount: 1}
		if i < 20 {
			r.RequestID = strconv.Itoa(i % 4)
		}
		return c.Usage.RecordUsage(b.ctx(), r).Err()
	}), ""))
	require.EqualValues(b, 4+20, b.requests(usage.StatsQuery{APIKeyID: k}))
	var recs []usage.Record
	for i := range 10 {
		recs = append(recs, usage.Record{APIKeyID: k, AccountType: "claude", Model: []string{"m", ""}[i%2], RequestCount: 1})
	}
	for i, s := range b.one.Usage.RecordUsageBatch(b.ctx(), recs) {
		require.Equal(b, i%2 == 0, s.Err() == nil, "one bad record hurts only itself")
	}
	require.EqualValues(b, 4+20+5, b.requests(usage.StatsQuery{APIKeyID: k}))
	require.NoError(b, b.one.APIKeys.DeleteAPIKey(b.ctx(), k).Err())
	b.record(usage.Record{APIKeyID: k, RequestCount: 1})
	require.EqualValues(b, 4+20+6, b.requests(usage.StatsQuery{APIKeyID: k}), "a deleted key's last requests are in flight")
}

func usageErrors(b *bundle) {
	k := b.key(apikeys.KeyData{}).ID
	good := usage.Record{APIKeyID: k, AccountType: "claude", Model: "m", RequestCount: 1}
	with := func(change func(*usage.Record)) error {
		r := good
		change(&r)
		return b.one.Usage.RecordUsage(b.ctx(), r).Err()
	}
	ask := func(change func(*usage.StatsQuery)) error {
		q := recent(usage.StatsQuery{APIKeyID: k})
		change(&q)
		return b.one.Usage.GetUsageStats(b.ctx(), q).Err()
	}
	for _, c := range []struct {
		err   error
		code  result.Code
		field string
	}{
		{with(func(r *usage.Record) { r.APIKeyID = "x" }), result.InvalidQuery, "apiKeyId"},
		{with(func(r *usage.Record) { r.APIKeyID = uuid.NewString() }), result.RecordNotFound, "apiKeyId"},
		{with(func(r *usage.Record) { r.AccountType = "x" }), result.InvalidQuery, "accountType"},
		{with(func(r *usage.Record) { r.Model = "" }), result.InvalidQuery, "model"},
		{with(func(r *usage.Record) { r.InputTokens = -1 }), result.InvalidQuery, "inputTokens"},
		{with(func(r *usage.Record) { r.OutputTokens = 1 }), result.InvalidQuery, "totalTokens"},
		{with(func(r *usage.Record) { r.Cost = result.MustMoney("-1") }), result.InvalidQuery, "cost"},
		{with(func(r *usage.Record) { r.Timestamp = time.Now().Add(25 * time.Hour) }), result.InvalidQuery, "timestamp"},
		{ask(func(q *usage.StatsQuery) { q.Granularity = "week" }), result.InvalidQuery, "granularity"},
		{ask(func(q *usage.StatsQuery) { q.TimeZone = "x" }), result.InvalidQuery, "timeZone"},
		{ask(func(q *usage.StatsQuery) { q.EndDate = q.StartDate }), result.InvalidQuery, "endDate"},
		{b.one.Usage.GetCostAnalysis(b.ctx(), usage.CostQuery{StartDate: midnight(1), EndDate: midnight(0), GroupBy: usage.ByAPIKey}).Err(), result.InvalidQuery, "groupBy"},
		{b.one.Usage.CleanupOldStats(b.ctx(), 0).Err(), result.InvalidQuery, "retentionDays"},
	} {
		b.refused(c.err, c.code, c.field)
	}
	b.cancelled(b.one.Usage.RecordUsage(b.gone(), good).Err())
	require.Zero(b, b.requests(usage.StatsQuery{APIKeyID: k}), "a refusal writes nothing")
}

// usageMoney: what is kept of a cost is exact, and nothing beyond it is.
func usageMoney(b *bundle) {
	k := b.key(apikeys.KeyData{}).ID
	exact := decimal.RequireFromString("123456.123456789123")
	for range 3 {
		b.record(usage.Record{APIKeyID: k, RequestCount: 1, Cost: result.NewMoney(exact)})
	}
	got := b.stats(b, b.two, recent(usage.StatsQuery{APIKeyID: k})).Summary.TotalCost.Decimal()
	digits := int32(b.caps.CostDecimals) //nolint:gosec // 0 to 12
	off := got.Sub(exact.Mul(decimal.NewFromInt(3))).Abs()
	require.True(b, off.LessThanOrEqual(decimal.New(3, -digits)), "%s", got)
	require.Equal(b, digits == 12, off.IsZero(), "%s", got)
}

// usageKeyAccounts: figures of one key and one account are there, or refused.
func usageKeyAccounts(b *bundle) {
	k, a := b.key(apikeys.KeyData{}).ID, b.account(accounts.AccountData{})
	b.record(usage.Record{APIKeyID: k, AccountID: a, RequestCount: 1, InputTokens: 4, TotalTokens: 4, Cost: result.MustMoney("2")})
	b.record(usage.Record{APIKeyID: b.key(apikeys.KeyData{}).ID, AccountID: a, RequestCount: 1})
	b.record(usage.Record{APIKeyID: k, RequestCount: 1})
	for _, q := range []usage.StatsQuery{{APIKeyID: k, AccountID: a}, {APIKeyID: k, GroupBy: usage.ByAccount}, {AccountID: a, GroupBy: usage.ByAPIKey}} {
		if !b.caps.KeyAccounts {
			require.ErrorIs(b, b.one.Usage.GetUsageStats(b.ctx(), recent(q)).Err(), result.InvalidQuery)
			continue
		}
		for _, bucket := range b.stats(b, b.two, recent(q)).Stats {
			f := bucket.Figures
			switch {
			case bucket.Requests == 0:
				continue
			case q.GroupBy == usage.ByAccount:
				f = bucket.Accounts[a]
			case q.GroupBy == usage.ByAPIKey:
				f = bucket.APIKeys[k]
			}
			require.Equal(b, "1 4 2", fmt.Sprint(f.Requests, f.TotalTokens, " ", f.Cost))
		}
	}
	s := b.stats(b, b.two, recent(usage.StatsQuery{AccountID: a})).Summary
	require.EqualValues(b, 2, s.TotalRequests)
	require.Equal(b, b.caps.AccountCosts, s.TotalCost.Equal(result.MustMoney("2")))
	require.Equal(b, !b.caps.AccountCosts, s.TotalCost.IsZero())
}
