package usage

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// TestBadInputWritesNothing gives every kind of wrong record: each is refused by
// the name of its field.
func TestBadInputWritesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	for _, c := range []struct {
		name, field string
		spoil       func(*Record)
	}{
		{"no key", "apiKeyId", func(r *Record) { r.APIKeyID = "" }},
		{"key is no UUID", "apiKeyId", func(r *Record) { r.APIKeyID = "' OR 1=1 --" }},
		{"key is the nil UUID", "apiKeyId", func(r *Record) { r.APIKeyID = uuid.Nil.String() }},
		{"key is a UUID in another form", "apiKeyId", func(r *Record) { r.APIKeyID = "{" + r.APIKeyID + "}" }},
		{"account is no UUID", "accountId", func(r *Record) { r.AccountID = "acc-1" }},
		{"account is the nil UUID", "accountId", func(r *Record) { r.AccountID = uuid.Nil.String() }},
		{"no accountType", "accountType", func(r *Record) { r.AccountType = "" }},
		{"unknown accountType", "accountType", func(r *Record) { r.AccountType = "Claude" }},
		{"accountType with a NUL", "accountType", func(r *Record) { r.AccountType = "claude\x00" }},
		{"no model", "model", func(r *Record) { r.Model = "" }},
		{"model with a NUL", "model", func(r *Record) { r.Model = "a\x00b" }},
		{"model of broken UTF-8", "model", func(r *Record) { r.Model = "a\xffb" }},
		{"model of half a character", "model", func(r *Record) { r.Model = "\xe4\xb8" }},
		{"model too long", "model", func(r *Record) { r.Model = strings.Repeat("模", 256) }},
		{"requestId with a NUL", "requestId", func(r *Record) { r.RequestID = "\x00" }},
		{"requestId of broken UTF-8", "requestId", func(r *Record) { r.RequestID = "\xc0\x80" }},
		{"requestId too long", "requestId", func(r *Record) { r.RequestID = strings.Repeat("x", 257) }},
		{"input negative", "inputTokens", func(r *Record) { r.InputTokens = -1 }},
		{"input least", "inputTokens", func(r *Record) { r.InputTokens = math.MinInt64 }},
		{"input most", "inputTokens", func(r *Record) { r.InputTokens = math.MaxInt64 }},
		{"input above the limit", "inputTokens", func(r *Record) { r.InputTokens = MaxCount + 1 }},
		{"output negative", "outputTokens", func(r *Record) { r.OutputTokens = -1 }},
		{"output most", "outputTokens", func(r *Record) { r.OutputTokens = math.MaxInt64 }},
		{"sum overflows", "inputTokens", func(r *Record) { r.InputTokens, r.OutputTokens = math.MaxInt64, math.MaxInt64 }},
		{"cache creation negative", "cacheCreationTokens", func(r *Record) { r.CacheCreationTokens = -1 }},
		{"cache creation most", "cacheCreationTokens", func(r *Record) { r.CacheCreationTokens = math.MaxInt64 }},
		{"cache read negative", "cacheReadTokens", func(r *Record) { r.CacheReadTokens = -1 }},
		{"cache read most", "cacheReadTokens", func(r *Record) { r.CacheReadTokens = math.MaxInt64 }},
		{"requests negative", "requestCount", func(r *Record) { r.RequestCount = -1 }},
		{"requests most", "requestCount", func(r *Record) { r.RequestCount = math.MaxInt64 }},
		{"total negative", "totalTokens", func(r *Record) { r.TotalTokens = -1 }},
		{"total most", "totalTokens", func(r *Record) { r.TotalTokens = math.MaxInt64 }},
		{"total missing", "totalTokens", func(r *Record) { r.TotalTokens = 0 }},
		{"total below input and output", "totalTokens", func(r *Record) { r.TotalTokens = 6 }},
		{"cost negative", "cost", func(r *Record) { r.Cost = result.MustMoney("-0.000000000001") }},
		{"cost of a million millions", "cost", func(r *Record) { r.Cost = result.NewMoney(decimal.New(1, 12)) }},
		{"cost beyond any column", "cost", func(r *Record) { r.Cost = result.NewMoney(decimal.New(1, 50)) }},
		{"time too early", "timestamp", func(r *Record) { r.Timestamp = firstTime.Add(-time.Microsecond) }},
		{"time before Christ", "timestamp", func(r *Record) { r.Timestamp = time.Date(-500, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"time too late", "timestamp", func(r *Record) { r.Timestamp = time.Now().Add(24*time.Hour + time.Minute) }},
		{"time far too late", "timestamp", func(r *Record) { r.Timestamp = time.Date(300000, 1, 1, 0, 0, 0, 0, time.UTC) }},
	} {
		t.Run(c.name, func(t *testing.T) { //nolint:paralleltest // the tables are looked at below
			r := sample(b.keys[0])
			c.spoil(&r)
			requireRefused(t, b.RecordUsage(t.Context(), r).Err(), result.InvalidQuery, c.field)
		})
	}
	b.requireUntouched(t)
}

// TestExtremesAreRecorded gives the largest and smallest of everything.
func TestExtremesAreRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	most := Record{
		APIKeyID: b.keys[0], AccountID: uuid.Max.String(), AccountType: "openai-responses",
		Model: strings.Repeat("模", 255), RequestID: strings.Repeat("号", 256),
		InputTokens: MaxCount, OutputTokens: MaxCount, CacheCreationTokens: MaxCount, CacheReadTokens: MaxCount,
		TotalTokens: 4 * MaxCount, RequestCount: MaxCount, Cost: result.MustMoney("999999999999.999999999999"),
		Timestamp: time.Now().Add(24*time.Hour - time.Minute),
	}
	least := Record{APIKeyID: strings.ToUpper(b.keys[0]), AccountType: "claude", Model: "\u2028", Timestamp: firstTime}
	for _, r := range []Record{most, least} {
		require.NoError(t, b.RecordUsage(t.Context(), r).Err())
	}
	for range 2 {
		s := total(t, b.Repo, StatsQuery{})
		require.EqualValues(t, 4*MaxCount, s.TotalTokens)
		require.Equal(t, "999999999999.999999999999", s.TotalCost.String())
		require.Equal(t, "0.25", s.AverageCostPerToken.String())
		require.NoError(t, b.compact(t.Context()))
	}
}

func TestBadQueries(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	for _, c := range []struct {
		name, field string
		spoil       func(*StatsQuery)
	}{
		{"key", "apiKeyId", func(q *StatsQuery) { q.APIKeyID = "1" }},
		{"account", "accountId", func(q *StatsQuery) { q.AccountID = uuid.Nil.String() }},
		{"model", "model", func(q *StatsQuery) { q.Model = "\x00" }},
		{"granularity", "granularity", func(q *StatsQuery) { q.Granularity = "" }},
		{"groupBy", "groupBy", func(q *StatsQuery) { q.GroupBy = "models" }},
		{"no start", "startDate", func(q *StatsQuery) { q.StartDate = time.Time{} }},
		{"no end", "endDate", func(q *StatsQuery) { q.EndDate = time.Time{} }},
		{"nothing between", "endDate", func(q *StatsQuery) { q.EndDate = q.StartDate.Add(time.Nanosecond) }},
		{"end too late", "endDate", func(q *StatsQuery) { q.EndDate = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"start too early", "startDate", func(q *StatsQuery) { q.StartDate = time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"zone of nowhere", "timeZone", func(q *StatsQuery) { q.TimeZone = "Mars/Olympus" }},
		{"zone of this machine", "timeZone", func(q *StatsQuery) { q.TimeZone = "Local" }},
		{"zone is a path", "timeZone", func(q *StatsQuery) { q.TimeZone = "../../etc/passwd" }},
		{"too many hours", "granularity", func(q *StatsQuery) { q.EndDate = q.StartDate.Add(10_001 * time.Hour) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			q := StatsQuery{StartDate: firstTime, EndDate: firstTime.Add(time.Hour), Granularity: Hour}
			c.spoil(&q)
			requireRefused(t, b.GetUsageStats(t.Context(), q).Err(), result.InvalidQuery, c.field)
		})
	}
}
