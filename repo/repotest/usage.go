package repotest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

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

// ledger is the records as a list, which sums by looking at each.
type ledger []usage.Record

// cells sums what a query asks for by bucket, and by model, account or key in it.
func (l ledger) cells(q usage.StatsQuery, zone *time.Location, costs bool) map[string]string {
	sums := make(map[string]usage.Figures)
	for _, r := range l {
		if r.Timestamp.Before(q.StartDate) || !r.Timestamp.Before(q.EndDate) || q.APIKeyID != "" && q.APIKeyID != r.APIKeyID ||
			q.AccountID != "" && q.AccountID != r.AccountID || q.Model != "" && q.Model != r.Model {
			continue
		}
		layout := map[usage.Granularity]string{usage.Hour: "2006-01-02T15:04:05Z07:00", usage.Day: "2006-01-02", usage.Month: "2006-01"}[q.Granularity]
		at := r.Timestamp.In(zone)
		if q.Granularity == usage.Hour {
			at = time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), 0, 0, 0, zone)
		}
		date := at.Format(layout)
		names := []string{date, date + " model " + r.Model}
		switch q.GroupBy {
		case usage.ByAccount:
			names = append(names, date+" account "+r.AccountID)
		case usage.ByAPIKey:
			names = append(names, date+" key "+r.APIKeyID)
		}
		for _, name := range names {
			f := sums[name]
			f.Requests, f.InputTokens, f.OutputTokens = f.Requests+r.RequestCount, f.InputTokens+r.InputTokens, f.OutputTokens+r.OutputTokens
			f.CacheCreationTokens, f.CacheReadTokens = f.CacheCreationTokens+r.CacheCreationTokens, f.CacheReadTokens+r.CacheReadTokens
			f.TotalTokens, f.Cost = f.TotalTokens+r.TotalTokens, f.Cost.Add(r.Cost)
			sums[name] = f
		}
	}
	out := make(map[string]string)
	for name, f := range sums {
		out[name] = text(f, costs)
	}
	return out
}

func text(f usage.Figures, costs bool) string {
	f.Name = ""
	if !costs {
		f.Cost = result.Money{}
	}
	return fmt.Sprintf("%d %d %d %d %d %d %s", f.Requests, f.InputTokens, f.OutputTokens, f.CacheCreationTokens, f.CacheReadTokens, f.TotalTokens, f.Cost)
}

// shown is an answer in the same form, without its empty buckets.
func shown(s usage.Stats, costs bool) map[string]string {
	out := make(map[string]string)
	for _, bucket := range s.Stats {
		if len(bucket.Models) == 0 {
			continue
		}
		out[bucket.Date] = text(bucket.Figures, costs)
		for kind, of := range map[string]map[string]usage.Figures{"model": bucket.Models, "account": bucket.Accounts, "key": bucket.APIKeys} {
			for name, f := range of {
				out[bucket.Date+" "+kind+" "+name] = text(f, costs)
			}
		}
	}
	return out
}

// money draws a cost of as many decimals as are kept.
func (b *bundle) money(rt *rapid.T) result.Money {
	return result.NewMoney(decimal.New(rapid.Int64Range(0, 1_000_000).Draw(rt, "cost"), -int32(min(b.caps.CostDecimals, 6)))) //nolint:gosec // 0 to 6
}

// usageModel records and asks, by each granularity and filter.
func usageModel(b *bundle) {
	keys := []string{b.key(apikeys.KeyData{}).ID, b.key(apikeys.KeyData{}).ID}
	accs := []string{b.account(accounts.AccountData{}), b.account(accounts.AccountData{})}
	var all ledger
	end, checks := time.Now().Add(modelTime), 0
	rapid.Check(b, func(rt *rapid.T) {
		if time.Now().After(end) {
			return
		}
		checks++
		for _, r := range rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) usage.Record { return b.draw(rt, keys, accs) }), 1, 20).Draw(rt, "records") {
			require.NoError(rt, b.clients()[len(all)%2].Usage.RecordUsage(b.ctx(), r).Err())
			all = append(all, r)
		}
		q := b.ask(rt, keys, accs)
		zone, err := time.LoadLocation(q.TimeZone)
		require.NoError(rt, err)
		costs := b.caps.AccountCosts || q.AccountID == "" && q.GroupBy != usage.ByAccount
		for _, c := range b.clients() {
			require.Equal(rt, all.cells(q, zone, costs), shown(b.stats(rt, c, q), costs), "%+v", q)
		}
	})
	b.Log(checks, "checks,", len(all), "records")
}

func (b *bundle) draw(rt *rapid.T, keys, accs []string) usage.Record {
	tokens := func(name string) int64 { return rapid.Int64Range(0, 1000).Draw(rt, name) }
	r := usage.Record{
		APIKeyID: rapid.SampledFrom(keys).Draw(rt, "key"), AccountID: rapid.SampledFrom(accs).Draw(rt, "account"), AccountType: "claude",
		Model: rapid.SampledFrom([]string{"claude-x", "gemini:free", "é"}).Draw(rt, "model"), InputTokens: tokens("in"), OutputTokens: tokens("out"),
		CacheCreationTokens: tokens("creation"), CacheReadTokens: tokens("read"), RequestCount: 1, Cost: b.money(rt),
		Timestamp: midnight(2).Add(time.Duration(rapid.Int64Range(0, 48*3600*1000-1).Draw(rt, "at")) * time.Millisecond),
	}
	r.TotalTokens = r.InputTokens + r.OutputTokens + r.CacheCreationTokens + r.CacheReadTokens
	return r
}

// ask draws a query that the primary can answer exactly.
func (b *bundle) ask(rt *rapid.T, keys, accs []string) usage.StatsQuery {
	q := usage.StatsQuery{StartDate: midnight(3), EndDate: midnight(-2), Granularity: rapid.SampledFrom([]usage.Granularity{usage.Hour, usage.Day, usage.Month}).Draw(rt, "by")}
	q.TimeZone = b.caps.Zone
	if q.TimeZone == "" {
		q.TimeZone = rapid.SampledFrom([]string{"UTC", "Asia/Kathmandu", "America/St_Johns"}).Draw(rt, "zone")
	}
	if b.caps.Cells == 0 && rapid.Bool().Draw(rt, "within?") {
		q.StartDate = midnight(2).Add(time.Duration(rapid.Int64Range(0, 24*3600).Draw(rt, "start")) * time.Second)
		q.EndDate = q.StartDate.Add(time.Duration(rapid.Int64Range(1, 24*3600).Draw(rt, "length")) * time.Second)
	}
	switch rapid.IntRange(0, 3).Draw(rt, "filter") {
	case 0:
		q.APIKeyID, q.GroupBy = rapid.SampledFrom(keys).Draw(rt, "key"), rapid.SampledFrom([]usage.GroupBy{"", usage.ByAPIKey}).Draw(rt, "group")
	case 1:
		q.AccountID, q.GroupBy = rapid.SampledFrom(accs).Draw(rt, "account"), rapid.SampledFrom([]usage.GroupBy{"", usage.ByAccount}).Draw(rt, "group")
	case 2:
		q.APIKeyID, q.Model = rapid.SampledFrom(keys).Draw(rt, "key"), "gemini:free"
	case 3:
		q.AccountID = rapid.SampledFrom(accs).Draw(rt, "account")
		if b.caps.KeyAccounts {
			q.APIKeyID, q.GroupBy = rapid.SampledFrom(keys).Draw(rt, "key"), rapid.SampledFrom([]usage.GroupBy{usage.ByAccount, usage.ByAPIKey}).Draw(rt, "group")
		}
	}
	return q
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

// exactly tells whether figures are given and not approximate.
func (b *bundle) exactly(q usage.StatsQuery) (usage.Stats, bool) {
	b.Helper()
	s, err := b.two.Usage.GetUsageStats(b.ctx(), q).Get()
	if err != nil {
		require.ErrorIs(b, err, result.InvalidQuery)
		return s, false
	}
	return s, !slices.ContainsFunc(s.Stats, func(bucket usage.Bucket) bool { return bucket.Approximate })
}

// usageEdges: a range that begins and ends anywhere has what lies in it.
func usageEdges(b *bundle) {
	k := b.key(apikeys.KeyData{}).ID
	from := midnight(1).Add(3*time.Hour + 7*time.Minute + 1234*time.Microsecond)
	for _, at := range []time.Time{from.Add(-time.Microsecond), from, from.Add(time.Minute), from.Add(2 * time.Minute)} {
		b.record(usage.Record{APIKeyID: k, RequestCount: 1, Timestamp: at})
	}
	require.EqualValues(b, 4, b.requests(usage.StatsQuery{APIKeyID: k}))
	s, exact := b.exactly(usage.StatsQuery{APIKeyID: k, StartDate: from, EndDate: from.Add(2 * time.Minute), Granularity: usage.Hour, TimeZone: b.caps.Zone})
	require.Equal(b, b.caps.Cells == 0, exact)
	if exact {
		require.EqualValues(b, 2, s.Summary.TotalRequests)
	}
}

// usageZones: days are those of any zone, or of the one zone.
func usageZones(b *bundle) {
	k := b.key(apikeys.KeyData{}).ID
	b.record(usage.Record{APIKeyID: k, RequestCount: 1, Timestamp: midnight(1).Add(18*time.Hour + 16*time.Minute)})
	require.EqualValues(b, 1, b.requests(usage.StatsQuery{APIKeyID: k}))
	for zone, can := range map[string]bool{b.caps.zone(): true, "Asia/Kathmandu": b.caps.Zone == "", "America/St_Johns": b.caps.Zone == ""} {
		loc, err := time.LoadLocation(zone)
		require.NoError(b, err)
		start := midnight(1).In(loc)
		start = time.Date(start.Year(), start.Month(), start.Day()-1, 0, 0, 0, 0, loc)
		s, exact := b.exactly(usage.StatsQuery{APIKeyID: k, StartDate: start, EndDate: start.AddDate(0, 0, 4), Granularity: usage.Day, TimeZone: zone})
		require.Equal(b, can, exact, zone)
		if !exact {
			continue
		}
		days := make(map[string]int64)
		for _, bucket := range s.Stats {
			days[bucket.Date] = bucket.Requests
		}
		day := midnight(1).Add(18*time.Hour + 16*time.Minute).In(loc).Format("2006-01-02")
		require.EqualValues(b, 1, days[day], "%s: %v", zone, slices.Sorted(maps.Keys(days)))
	}
}

// usageHistory: a record of long ago is in the figures, or it is not.
func usageHistory(b *bundle) {
	k := b.key(apikeys.KeyData{}).ID
	at := midnight(200).Add(time.Hour)
	if b.caps.History != 0 {
		at = midnight(0).Add(-b.caps.History - 48*time.Hour)
	}
	err := b.one.Usage.RecordUsage(b.ctx(), usage.Record{APIKeyID: k, AccountType: "claude", Model: "m", RequestCount: 1, Timestamp: at}).Err()
	if b.caps.History != 0 && err != nil {
		b.refused(err, result.InvalidQuery, "timestamp")
		return
	}
	require.NoError(b, err)
	start := at.Truncate(24 * time.Hour)
	q := usage.StatsQuery{APIKeyID: k, StartDate: start.AddDate(0, 0, -1), EndDate: start.AddDate(0, 0, 2), Granularity: usage.Hour, TimeZone: b.caps.Zone}
	if b.caps.History != 0 {
		s, _ := b.exactly(q)
		require.Zero(b, s.Summary.TotalRequests)
		return
	}
	require.EqualValues(b, 1, b.stats(b, b.two, q).Summary.TotalRequests)
}

// usageCleanup: old records go, and the figures stay.
func usageCleanup(b *bundle) {
	k := b.key(apikeys.KeyData{}).ID
	if b.caps.History != 0 {
		require.NoError(b, b.one.Usage.CleanupOldStats(b.ctx(), usage.DefaultRetentionDays).Err())
		return
	}
	at := midnight(300)
	b.record(usage.Record{APIKeyID: k, RequestCount: 1, Timestamp: at.Add(time.Hour)})
	q := usage.StatsQuery{APIKeyID: k, StartDate: at.AddDate(0, 0, -1), EndDate: at.AddDate(0, 0, 2), Granularity: usage.Day, TimeZone: b.caps.Zone}
	require.EqualValues(b, 1, b.stats(b, b.one, q).Summary.TotalRequests)
	require.Positive(b, get(b, b.one.Usage.CleanupOldStats(b.ctx(), usage.DefaultRetentionDays)).DeletedRecords)
	require.EqualValues(b, 1, b.stats(b, b.two, q).Summary.TotalRequests)
}
