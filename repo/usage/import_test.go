package usage

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// monthOfMarch is a good span: March 2025 in Shanghai.
func monthOfMarch(t *testing.T, id string) ImportedSpan {
	t.Helper()
	return ImportedSpan{
		Scope: ScopeKey, ID: id, Model: "m", Resolution: SpanMonth,
		Start: at(t, "2025-02-28T16:00:00Z"), End: at(t, "2025-03-31T16:00:00Z"),
		Requests: 1, InputTokens: 2, OutputTokens: 3, CacheCreationTokens: 4, CacheReadTokens: 5, TotalTokens: 14, Cost: result.MustMoney("0.000000000001"),
	}
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	good := monthOfMarch(t, b.keys[0])
	for _, c := range []struct {
		field string
		spoil func(*ImportedSpan)
	}{
		{"scope", func(s *ImportedSpan) { s.Scope = "" }},
		{"id", func(s *ImportedSpan) { s.ID = "me" }},
		{"model", func(s *ImportedSpan) { s.Model = "" }},
		{"model", func(s *ImportedSpan) { s.Model = "a\x00b" }},
		{"resolution", func(s *ImportedSpan) { s.Resolution = SpanCleaned }},
		{"start", func(s *ImportedSpan) { s.Start = firstTime.Add(-time.Hour) }},
		{"start", func(s *ImportedSpan) { s.Start = time.Now().Add(25 * time.Hour) }},
		{"start", func(s *ImportedSpan) { s.Start = s.Start.Add(time.Minute) }},
		{"start", func(s *ImportedSpan) { s.Start = s.Start.AddDate(0, 0, 3) }},
		{"end", func(s *ImportedSpan) { s.End = s.Start }},
		{"end", func(s *ImportedSpan) { s.End = s.End.Add(time.Hour) }},
		{"end", func(s *ImportedSpan) { s.Resolution = SpanDay }},
		{"end", func(s *ImportedSpan) { s.Resolution, s.End = SpanHour, s.Start.Add(time.Minute) }},
		{"end", func(s *ImportedSpan) { s.Resolution, s.End = SpanOpening, time.Now().Add(25*time.Hour) }},
		{"requests", func(s *ImportedSpan) { s.Requests = -1 }},
		{"cacheReadTokens", func(s *ImportedSpan) { s.CacheReadTokens = MaxImportedCount + 1 }},
		{"totalTokens", func(s *ImportedSpan) { s.TotalTokens = 4 }},
		{"cost", func(s *ImportedSpan) { s.Cost = result.MustMoney("-1") }},
		{"spans", func(*ImportedSpan) {}},
	} {
		bad := good
		c.spoil(&bad)
		_, err := b.Import(t.Context(), []ImportedSpan{good, bad}).Get()
		requireRefused(t, err, result.InvalidQuery, c.field)
		require.EqualValues(t, 1, result.From(err).Details["index"], c.field)
	}
	_, err := b.Import(t.Context(), make([]ImportedSpan, MaxSpans+1)).Get()
	requireRefused(t, err, result.InvalidQuery, "spans")
	require.Zero(t, b.count(t, "SELECT count(*) FROM usage_imported"))

	_, err = b.Imported(t.Context(), ScopeKey, make([]string, MaxSummedIDs+1)).Get()
	requireRefused(t, err, result.InvalidQuery, "ids")
	for _, bounds := range [][]time.Time{nil, {good.Start}, {good.Start, good.Start}, {good.Start, good.End.Add(time.Minute)}, make([]time.Time, maxCells+1)} {
		_, err = b.Sums(t.Context(), ScopeKey, b.keys, bounds).Get()
		requireRefused(t, err, result.InvalidQuery, "bounds")
	}
}

// TestImportsBesideRecords sets the same spans again and again, from two sides, while
// records come and are compacted: a figure has one import whole, and all records that
// were acknowledged before.
func TestImportsBesideRecords(t *testing.T) {
	t.Parallel()
	const rounds, spansEach = 12, 40
	b := setup(t, 1)
	key := b.keys[0]
	var all sync.WaitGroup
	for side := range 2 {
		other := open(t, b.url)
		all.Go(func() {
			for n := range rounds {
				spans := make([]ImportedSpan, spansEach)
				for i := range spans {
					at := i
					if side == 1 {
						at = spansEach - 1 - i // crosswise
					}
					spans[i] = monthOfMarch(t, key)
					spans[i].Resolution, spans[i].Start = SpanHour, spans[i].Start.Add(time.Duration(at)*time.Hour)
					spans[i].End, spans[i].Requests = spans[i].Start.Add(time.Hour), int64(1000*(n+1))
				}
				if _, err := other.Import(t.Context(), spans).Get(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	recorded := 0
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		r := sample(key)
		r.Timestamp = at(t, "2025-03-01T00:00:00Z")
		require.NoError(t, b.RecordUsage(t.Context(), r).Err())
		if recorded++; recorded%5 == 0 {
			require.NoError(t, b.compact(t.Context()))
		}
		n := total(t, b.Repo, StatsQuery{APIKeyID: key}).TotalRequests
		require.EqualValues(t, recorded%(1000*spansEach), n%(1000*spansEach))
		require.LessOrEqual(t, n, int64(rounds*1000*spansEach+recorded))
	}
	require.EqualValues(t, rounds*1000*spansEach+recorded, total(t, b.Repo, StatsQuery{}).TotalRequests)
}

// TestCleanupOfImports has a span of each kind before and after the cut.
func TestCleanupOfImports(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.daysAgo(t, 60, 2)
	cut := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -10)
	account := accounts[1]
	spans := []ImportedSpan{}
	for scope, id := range map[Scope]string{ScopeKey: b.keys[0], ScopeAccount: account} {
		hour := ImportedSpan{Scope: scope, ID: id, Model: "m", Resolution: SpanHour, Start: cut.Add(-time.Hour), End: cut, Requests: 1}
		opening, day, last := hour, hour, hour
		opening.Resolution, opening.Start, opening.Requests = SpanOpening, firstTime, 10
		day.Resolution, day.Start, day.End, day.Requests = SpanDay, cut.Add(-48*time.Hour), cut.Add(-24*time.Hour), 100
		last.Resolution, last.Start, last.End, last.Requests = SpanDay, cut.Add(-time.Hour), cut.Add(23*time.Hour), 1000
		spans = append(spans, hour, opening, day, last)
	}
	figures := func() (ofAll, ofAccount, lifetime int64) {
		totals, err := b.AccountTotals(t.Context(), []uuid.UUID{uuid.MustParse(account)})
		require.NoError(t, err)
		return total(t, b.Repo, StatsQuery{}).TotalRequests, total(t, b.Repo, StatsQuery{AccountID: account}).TotalRequests, totals[uuid.MustParse(account)].Requests
	}
	requireFigures := func(all, account, lifetime int64) {
		t.Helper()
		gotAll, gotAccount, gotLifetime := figures()
		require.Equal(t, []int64{all, account, lifetime}, []int64{gotAll, gotAccount, gotLifetime})
		rep, err := b.Verify(t.Context(), VerifyOptions{Repair: true})
		require.NoError(t, err)
		require.Zero(t, rep.Wrong, "%+v", rep.Cells)
	}
	require.NoError(t, b.compact(t.Context()))
	require.NoError(t, b.Import(t.Context(), spans).Err())
	requireFigures(120+1111, 1111, 1111)

	_, err := b.CleanupOldStats(t.Context(), 10).Get()
	require.NoError(t, err)
	requireFigures(120+1111, 1111, 1111)

	for range 5 { // as batches of one, so that sums come to be in several steps
		require.NoError(t, b.Primary.Write(t.Context(), func(ctx context.Context, c db.DBTX) error {
			_, err := b.queries.UsageImportedTrim(ctx, c, db.UsageImportedTrimParams{Before: cut, RowLimit: 1})
			return err
		}))
	}
	_, err = b.Cleanup(t.Context(), CleanupOptions{RetentionDays: 10, Rollups: true}).Get()
	require.NoError(t, err)
	requireFigures(20+1010, 1010, 1111)
	kept, err := b.Imported(t.Context(), ScopeAccount, []string{account, account}).Get()
	require.NoError(t, err)
	require.Len(t, kept, 3)
	require.Equal(t, SpanCleaned, kept[0].Resolution)
	require.EqualValues(t, 101, kept[0].Requests)

	again, err := b.Import(t.Context(), spans).Get()
	require.NoError(t, err)
	require.Equal(t, ImportResult{Unchanged: 4, Cleaned: 4}, again)
	requireFigures(20+1010, 1010, 1111)
}
