package usage

import (
	"fmt"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// wholeHours are zones that lie by whole hours from the layout's.
var wholeHours = []string{"UTC", "Asia/Shanghai", "America/New_York", "Europe/Berlin"}

// redisFigureBundle has records of the last days, which cost whole millionths: those are
// divided among models without a rest.
func redisFigureBundle(t *rapid.T, test *testing.T, b *redisBundle) (records []Record) {
	b.empty(test)
	for range rapid.IntRange(1, 25).Draw(t, "records") {
		n := rapid.Int64Range(0, 5000)
		r := Record{
			APIKeyID: rapid.SampledFrom(b.keys).Draw(t, "key"), AccountID: rapid.SampledFrom(accounts).Draw(t, "account"),
			AccountType: "claude", Model: rapid.SampledFrom(models).Draw(t, "model"),
			InputTokens: n.Draw(t, "input"), OutputTokens: n.Draw(t, "output"), CacheCreationTokens: n.Draw(t, "creation"),
			CacheReadTokens: n.Draw(t, "read"), RequestCount: 1,
			Cost:      result.NewMoney(decimal.New(n.Draw(t, "cost"), -6)),
			Timestamp: time.Now().UTC().Truncate(time.Second).Add(-time.Duration(rapid.Int64Range(0, 150*3600).Draw(t, "ago")) * time.Second),
		}
		r.TotalTokens = r.InputTokens + r.OutputTokens + n.Draw(t, "extra")
		records = append(records, r)
	}
	for _, s := range b.RecordUsageBatch(test.Context(), records) {
		require.NoError(t, s.Err())
	}
	return records
}

// onTheHour draws a range that the layout's hours fill.
func onTheHour(t *rapid.T) (start, end time.Time) {
	hour := time.Now().UTC().Truncate(time.Hour)
	ago := rapid.IntRange(1, 160).Draw(t, "start")
	start = hour.Add(-time.Duration(ago) * time.Hour)
	return start, start.Add(time.Duration(rapid.IntRange(1, ago+24).Draw(t, "hours")) * time.Hour)
}

func TestRedisStatsEqualTheRecords(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 3)
	m := model{names: b.nameAccounts(t)}
	for i, k := range b.keys {
		m.names[k] = fmt.Sprintf("key %d", i)
	}
	rapid.Check(t, func(rt *rapid.T) {
		m.records = redisFigureBundle(rt, t, b)
		for range rapid.IntRange(2, 8).Draw(rt, "queries") {
			q := StatsQuery{
				Granularity: rapid.SampledFrom([]Granularity{Hour, Day, Month}).Draw(rt, "granularity"),
				TimeZone:    rapid.SampledFrom(wholeHours).Draw(rt, "zone"),
			}
			q.StartDate, q.EndDate = onTheHour(rt)
			switch rapid.IntRange(0, 2).Draw(rt, "of") {
			case 0:
				q.APIKeyID = rapid.SampledFrom(b.keys).Draw(rt, "key")
				q.GroupBy = rapid.SampledFrom([]GroupBy{"", ByModel, ByAPIKey}).Draw(rt, "group")
			case 1:
				q.AccountID = rapid.SampledFrom(accounts[1:]).Draw(rt, "account")
				q.GroupBy = rapid.SampledFrom([]GroupBy{"", ByModel, ByAccount}).Draw(rt, "group")
			default:
				q.GroupBy = rapid.SampledFrom([]GroupBy{"", ByModel, ByAccount, ByAPIKey}).Draw(rt, "group")
			}
			if rapid.Bool().Draw(rt, "by model") {
				q.Model = rapid.SampledFrom(models).Draw(rt, "model")
			}
			loc, err := time.LoadLocation(q.TimeZone)
			require.NoError(t, err)
			got, err := b.GetUsageStats(t.Context(), q).Get()
			require.NoError(rt, err, "%+v", q)
			require.Equal(rt, indented(t, m.stats(q, loc)), indented(t, got), "%+v", q)
		}
	})
}

func TestRedisCostsEqualTheRecords(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 3)
	m := costModel{names: b.nameAccounts(t)}
	rapid.Check(t, func(rt *rapid.T) {
		m.rolled = redisFigureBundle(rt, t, b)
		for range rapid.IntRange(1, 4).Draw(rt, "queries") {
			q := CostQuery{
				GroupBy:  rapid.SampledFrom([]GroupBy{ByDay, ByModel, ByAccount}).Draw(rt, "group"),
				TimeZone: rapid.SampledFrom(wholeHours).Draw(rt, "zone"),
			}
			q.StartDate, q.EndDate = onTheHour(rt)
			if q.GroupBy != ByAccount && rapid.Bool().Draw(rt, "by key") {
				q.APIKeyID = rapid.SampledFrom(b.keys).Draw(rt, "key")
			}
			loc, err := time.LoadLocation(q.TimeZone)
			require.NoError(t, err)
			got, err := b.GetCostAnalysis(t.Context(), q).Get()
			require.NoError(rt, err, "%+v", q)
			require.Equal(rt, indented(t, m.costs(q, loc)), indented(t, got), "%+v", q)
		}
	})
}

// TestRedisAccountTotals are exact where relaystore has recorded everything.
func TestRedisAccountTotals(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 2)
	for i := range 10 {
		r := sample(b.keys[i%2])
		r.AccountID = accounts[1+i%2]
		require.NoError(t, b.RecordUsage(t.Context(), r).Err())
	}
	totals, err := b.AccountTotals(t.Context(), parsedIDs(t, accounts[1:]...))
	require.NoError(t, err)
	for _, id := range parsedIDs(t, accounts[1:]...) {
		require.Equal(t, int64(5), totals[id].Requests)
		require.Equal(t, int64(35), totals[id].Tokens)
		require.Equal(t, "0.005", totals[id].Cost.String())
	}
}
