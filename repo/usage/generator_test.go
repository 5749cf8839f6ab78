package usage

import (
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// generator draws records and queries around one moment.
type generator struct {
	*rapid.T

	keys   []string
	anchor string
}

var (
	accounts = []string{"", "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa", "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"}
	models   = []string{"claude-sonnet-4", "gpt-5", "gemini-2.0-flash-exp:free"}
)

func (g generator) entries() (entries []entry) {
	for range rapid.IntRange(1, 12).Draw(g.T, "records") {
		count := rapid.Int64Range(0, rapid.SampledFrom([]int64{3, 1000, MaxCount}).Draw(g.T, "size"))
		r := Record{
			APIKeyID:            rapid.SampledFrom(g.keys).Draw(g.T, "key"),
			AccountID:           rapid.SampledFrom(accounts).Draw(g.T, "account"),
			AccountType:         rapid.SampledFrom(AccountTypes).Draw(g.T, "type"),
			Model:               rapid.SampledFrom(models).Draw(g.T, "model"),
			InputTokens:         count.Draw(g.T, "input"),
			OutputTokens:        count.Draw(g.T, "output"),
			CacheCreationTokens: count.Draw(g.T, "creation"),
			CacheReadTokens:     count.Draw(g.T, "read"),
			RequestCount:        count.Draw(g.T, "requests"),
			Cost:                result.NewMoney(decimal.New(rapid.Int64Range(0, 1e15).Draw(g.T, "cost"), -12)),
			Timestamp:           g.time(4 * 24 * time.Hour),
		}
		r.TotalTokens = r.InputTokens + r.OutputTokens + count.Draw(g.T, "extra")
		e, err := r.check("apiKeyId", time.Now())
		require.NoError(g.T, err)
		if rapid.Bool().Draw(g.T, "has requestId") {
			e.requestHash = uuid.New()
		}
		entries = append(entries, e)
	}
	return entries
}

// time draws a moment near the anchor: the edge of a cell, an edge of the range
// by a microsecond, or anything.
func (g generator) time(spread time.Duration) time.Time {
	anchor, err := time.Parse(time.RFC3339, g.anchor)
	require.NoError(g.T, err)
	if rapid.Bool().Draw(g.T, "close") {
		spread = 90 * time.Minute
	}
	d := time.Duration(rapid.Int64Range(-int64(spread), int64(spread)).Draw(g.T, "distance"))
	unit := rapid.SampledFrom([]time.Duration{time.Microsecond, time.Minute, 15 * time.Minute, time.Hour}).Draw(g.T, "unit")
	off := time.Duration(rapid.SampledFrom([]int64{0, 0, -1, 1}).Draw(g.T, "off")) * time.Microsecond
	return anchor.Add(d).Truncate(unit).Add(off)
}

func (g generator) query() StatsQuery {
	q := StatsQuery{
		Granularity: rapid.SampledFrom([]Granularity{Hour, Day, Month}).Draw(g.T, "granularity"),
		GroupBy:     rapid.SampledFrom([]GroupBy{"", ByModel, ByAccount, ByAPIKey}).Draw(g.T, "group"),
		TimeZone:    rapid.SampledFrom(nights).Draw(g.T, "zone").zone,
	}
	if rapid.Bool().Draw(g.T, "own zone") {
		for _, n := range nights {
			if n.at == g.anchor {
				q.TimeZone = n.zone
			}
		}
	}
	spread := map[Granularity]time.Duration{Hour: 4, Day: 12, Month: 70}[q.Granularity] * 24 * time.Hour
	q.StartDate, q.EndDate = g.time(spread), g.time(spread)
	if q.EndDate.Before(q.StartDate) {
		q.StartDate, q.EndDate = q.EndDate, q.StartDate
	}
	if q.EndDate.Equal(q.StartDate) {
		q.EndDate = q.EndDate.Add(time.Microsecond)
	}
	if rapid.Bool().Draw(g.T, "by key") {
		q.APIKeyID = rapid.SampledFrom(g.keys).Draw(g.T, "key")
	}
	if rapid.Bool().Draw(g.T, "by account") {
		q.AccountID = rapid.SampledFrom(accounts).Draw(g.T, "account")
	}
	if rapid.Bool().Draw(g.T, "by model") {
		q.Model = rapid.SampledFrom(models).Draw(g.T, "model")
	}
	return q
}
