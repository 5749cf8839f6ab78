package repotest

import (
	"fmt"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

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
