package usage

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// expectedUsage is what the service itself answered about its Redis.
type expectedUsage struct {
	Keys []struct {
		ID    string
		Usage struct{ Total, Daily, Monthly expectedFigures }
		Cost  struct{ Daily, Monthly, Hourly, Total json.Number }
	}
	Accounts []struct {
		ID    string
		Usage struct{ Total, Daily, Monthly expectedFigures }
	}
}

type expectedFigures struct {
	InputTokens, OutputTokens, CacheCreateTokens, CacheReadTokens, AllTokens, Requests int64
}

// truthRecord is one record as the service was given it.
type truthRecord struct {
	T                     int64
	Key, Model, Acct      string
	Input, Output, CC, CR int64
}

// setupFixture is the service's Redis, looked at just after its last record.
func setupFixture(t *testing.T) (*redisBundle, expectedUsage) {
	t.Helper()
	var want expectedUsage
	require.NoError(t, json.NewDecoder(fixture(t, "expected.json")).Decode(&want))
	b := setupRedis(t, 0)
	b.load(t, fixture(t, "legacy-redis.resp.gz"))
	b.now = func() time.Time { return time.Date(2026, 11, 21, 19, 31, 0, 0, time.UTC) }
	return b, want
}

func truth(t *testing.T) (records []truthRecord) {
	t.Helper()
	in := json.NewDecoder(bufio.NewReader(fixture(t, "truth.jsonl.gz")))
	for {
		var r truthRecord
		if err := in.Decode(&r); err != nil {
			require.ErrorIs(t, err, io.EOF)
			return records
		}
		records = append(records, r)
	}
}

func TestRedisTellsWhatTheServiceTells(t *testing.T) {
	t.Parallel()
	b, want := setupFixture(t)
	require.Len(t, want.Keys, 16)
	zone := time.FixedZone("", 8*3600)
	daily := StatsQuery{
		StartDate: time.Date(2026, 11, 22, 0, 0, 0, 0, zone), EndDate: time.Date(2026, 11, 23, 0, 0, 0, 0, zone), Granularity: Day, TimeZone: "Asia/Shanghai",
	}
	monthly := StatsQuery{
		StartDate: time.Date(2026, 11, 1, 0, 0, 0, 0, zone), EndDate: time.Date(2026, 12, 1, 0, 0, 0, 0, zone), Granularity: Month, TimeZone: "Asia/Shanghai",
	}
	for _, k := range want.Keys {
		day, month := daily, monthly
		day.APIKeyID, month.APIKeyID = k.ID, k.ID
		requireTold(t, b, day, k.Usage.Daily, k.Cost.Daily)
		requireTold(t, b, month, k.Usage.Monthly, k.Cost.Monthly)
		requireTold(t, b, month, k.Usage.Total, k.Cost.Total) // everything is of one month
	}
	for _, a := range want.Accounts {
		day, month := daily, monthly
		day.AccountID, month.AccountID = a.ID, a.ID
		requireTold(t, b, day, a.Usage.Daily, "")
		requireTold(t, b, month, a.Usage.Monthly, "")
		totals, err := b.AccountTotals(t.Context(), parsedIDs(t, a.ID))
		require.NoError(t, err)
		require.Equal(t, a.Usage.Total.Requests, totals[uuid.MustParse(a.ID)].Requests)
		require.Equal(t, a.Usage.Total.AllTokens, totals[uuid.MustParse(a.ID)].Tokens)
	}
}

// requireTold compares a bucket; the service has no cost of an account's own.
func requireTold(t *testing.T, b *redisBundle, q StatsQuery, want expectedFigures, cost json.Number) {
	t.Helper()
	s, err := b.GetUsageStats(t.Context(), q).Get()
	require.NoError(t, err)
	require.Len(t, s.Stats, 1)
	got := s.Stats[0]
	require.Equal(t, want, told(got.Figures), "%+v", q)
	require.Equal(t, cost == "" && want.Requests > 0, got.Approximate)
	if cost != "" {
		amount, err := result.ParseMoney(cost.String())
		require.NoError(t, err)
		require.Equal(t, amount.String(), got.Cost.String())
	}
}

// TestRedisTellsTheTruthByHour sums the records that the service was given: in two zones,
// of which the second is told without the index sets, that older versions did not make.
func TestRedisTellsTheTruthByHour(t *testing.T) {
	t.Parallel()
	b, _ := setupFixture(t)
	records := truth(t)
	for _, zone := range []string{"Asia/Shanghai", "America/New_York"} {
		if zone != "Asia/Shanghai" {
			b.do(t, b.redis.B().Eval().Script("return redis.call('DEL', unpack(redis.call('KEYS', '*:index:*')))").Numkeys(0).Build())
		}
		loc, err := time.LoadLocation(zone)
		require.NoError(t, err)
		want := map[string]expectedFigures{}
		for _, r := range records {
			at := time.UnixMilli(r.T)
			for _, of := range []string{r.Key, "model " + legacyOf(r.Model), "account " + r.Acct} {
				for _, g := range []Granularity{Hour, Day} {
					name := labelAt(at, loc, g) + " " + of
					w := want[name]
					want[name] = expectedFigures{
						w.InputTokens + r.Input, w.OutputTokens + r.Output, w.CacheCreateTokens + r.CC, w.CacheReadTokens + r.CR,
						w.AllTokens + r.Input + r.Output + r.CC + r.CR, w.Requests + 1,
					}
				}
			}
		}
		got := map[string]expectedFigures{}
		for _, g := range []Granularity{Hour, Day} {
			for _, by := range []GroupBy{ByAPIKey, ByAccount} {
				s, err := b.GetUsageStats(t.Context(), StatsQuery{
					StartDate: time.Date(2026, 11, 18, 2, 0, 0, 0, time.UTC), EndDate: time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC),
					Granularity: g, GroupBy: by, TimeZone: zone,
				}).Get()
				require.NoError(t, err)
				require.Equal(t, int64(len(records)), s.Summary.TotalRequests)
				for _, bucket := range s.Stats {
					collect(got, bucket.Date+" ", bucket.APIKeys)
					collect(got, bucket.Date+" account ", bucket.Accounts)
					collect(got, bucket.Date+" model ", bucket.Models)
				}
			}
		}
		require.Equal(t, want, got, zone)
	}
}

func legacyOf(model string) string {
	if model == "us.anthropic.claude-sonnet-4-20250514-v1:0" {
		return "claude-sonnet-4-20250514"
	}
	return model
}

func collect(into map[string]expectedFigures, before string, from map[string]Figures) {
	for name, f := range from {
		into[before+name] = told(f)
	}
}

func told(f Figures) expectedFigures {
	return expectedFigures{f.InputTokens, f.OutputTokens, f.CacheCreationTokens, f.CacheReadTokens, f.TotalTokens, f.Requests}
}

// TestRedisLeavesWhatTheServiceLeft records the truth of one day into an empty Redis: the
// day's counters are the service's, but for costs, which came from the service's prices.
func TestRedisLeavesWhatTheServiceLeft(t *testing.T) {
	t.Parallel()
	service, _ := setupFixture(t)
	ours := setupRedis(t, 0)
	const today = "2026-11-18"
	var records []Record
	known := map[string]bool{}
	for _, r := range truth(t) {
		if labelAt(time.UnixMilli(r.T), time.FixedZone("", 8*3600), Day) != today {
			continue
		}
		if !known[r.Key] {
			ours.do(t, ours.redis.B().Hset().Key("apikey:"+r.Key).FieldValue().FieldValue("id", r.Key).Build())
		}
		known[r.Key] = true
		records = append(records, Record{
			APIKeyID: r.Key, AccountID: r.Acct, AccountType: "claude", Model: r.Model, InputTokens: r.Input, OutputTokens: r.Output,
			CacheCreationTokens: r.CC, CacheReadTokens: r.CR, TotalTokens: r.Input + r.Output + r.CC + r.CR, RequestCount: 1, Timestamp: time.UnixMilli(r.T),
		})
	}
	for i, s := range ours.RecordUsageBatch(t.Context(), records) {
		require.NoError(t, s.Err(), i)
	}
	want, got := service.dump(t), ours.dump(t)
	compared := 0
	for key, v := range want {
		if !strings.Contains(key, today) || strings.HasPrefix(key, "usage:cost:") {
			continue
		}
		compared++
		delete(v.hash, "realCostMicro")
		delete(v.hash, "ratedCostMicro")
		require.Equal(t, v.hash, got[key].hash, key)
		require.ElementsMatch(t, v.list, got[key].list, key)
	}
	for key := range got {
		require.True(t, !strings.Contains(key, today) || want[key].kind != "", key)
	}
	require.Greater(t, compared, 500)
}
