package usage

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/dbtype"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// importBatch is how many spans one transaction sets.
	importBatch = 5_000
	// importLock is the advisory lock of whoever sets or cleans up spans; the number is
	// ours alone.
	importLock = 7_246_182_519_002
)

// spanID says which span one is.
type spanID struct {
	scope      Scope
	id         uuid.UUID
	model      string
	resolution Resolution
	start      int64 // µs
}

// checkedSpan is one in the database's own types.
type checkedSpan struct {
	ImportedSpan

	id uuid.UUID
}

// Import sets the figures of spans, at most MaxSpans; an extension. They replace what
// the same spans had, so that importing again changes nothing; spans that are not given
// stay as they are, and one whose figures are all 0 goes. What ends before the time
// whose figures a clean-up has removed is left out, except for opening balances. Wrong
// input, a span given twice included, is InvalidQuery with the field and the span's
// details.index, and nothing is written. Spans are written in transactions of 5,000;
// after a failure, details.imported tells how many are set, and calling again goes on.
// Inside a transaction it is InvalidQuery.
func (r *Repo) Import(ctx context.Context, spans []ImportedSpan) result.Result[ImportResult] {
	if r.Primary.InTx() {
		return result.Fail[ImportResult](errImportInTx)
	}
	checked, err := checkSpans(spans, r.now())
	if err != nil {
		return result.Fail[ImportResult](err)
	}
	var all ImportResult
	done := 0
	for batch := range slices.Chunk(checked, importBatch) {
		one, err := r.importBatch(ctx, batch)
		if err != nil {
			return result.Fail[ImportResult](result.From(err).With("imported", done))
		}
		all.Written += one.Written
		all.Unchanged += one.Unchanged
		all.Removed += one.Removed
		all.Cleaned += one.Cleaned
		done += len(batch)
	}
	return result.OK(all)
}

func checkSpans(spans []ImportedSpan, now time.Time) ([]checkedSpan, error) {
	if len(spans) > MaxSpans {
		return nil, result.Invalid("spans", "must be at most %d", MaxSpans)
	}
	checked := make([]checkedSpan, len(spans))
	seen := make(map[spanID]struct{}, len(spans))
	for i, s := range spans {
		c, err := s.check(now)
		if err != nil {
			return nil, result.From(err).With("index", i)
		}
		which := spanID{c.Scope, c.id, c.Model, c.Resolution, c.Start.UnixMicro()}
		if _, twice := seen[which]; twice {
			return nil, result.Invalid("spans", "holds the same span twice").With("index", i)
		}
		seen[which] = struct{}{}
		checked[i] = c
	}
	return checked, nil
}

func (s ImportedSpan) check(now time.Time) (checkedSpan, error) {
	c := checkedSpan{ImportedSpan: s}
	if err := s.Scope.check(); err != nil {
		return c, err
	}
	var err error
	if c.id, err = result.ParseID("id", s.ID); err != nil {
		return c, err
	}
	if err := checkModel(s.Model); err != nil {
		return c, err
	}
	if err := s.checkCounts(); err != nil {
		return c, err
	}
	c.Start, c.End = s.Start.UTC().Truncate(time.Microsecond), s.End.UTC().Truncate(time.Microsecond)
	return c, c.checkTimes(now)
}

func (s Scope) check() error {
	if s != ScopeKey && s != ScopeAccount {
		return result.Invalid("scope", "must be key or account")
	}
	return nil
}

func (s ImportedSpan) checkCounts() error {
	err := checkCounts(MaxImportedCount, []count{
		{"inputTokens", s.InputTokens}, {"outputTokens", s.OutputTokens}, {"cacheCreationTokens", s.CacheCreationTokens},
		{"cacheReadTokens", s.CacheReadTokens}, {"requests", s.Requests},
	}, s.TotalTokens, s.InputTokens+s.OutputTokens)
	if err != nil {
		return err
	}
	return result.CheckAmount("cost", s.Cost)
}

func (s ImportedSpan) checkTimes(now time.Time) error {
	latest := now.Add(maxAhead)
	switch {
	case s.Start.Before(firstTime) || s.Start.After(latest):
		return result.Invalid("start", "must lie between 2000-01-01 and 24 hours from now")
	case !s.End.After(s.Start):
		return result.Invalid("end", "must be after start")
	case s.Resolution == SpanOpening && s.End.After(latest):
		return result.Invalid("end", "must be at most 24 hours from now")
	case s.Resolution != SpanOpening && !s.Start.Equal(s.Start.Truncate(time.Hour)):
		return result.Invalid("start", "must be a whole hour")
	}
	switch s.Resolution {
	case SpanOpening:
		return nil
	case SpanHour:
		return s.checkEnd(s.Start.Add(time.Hour))
	case SpanDay:
		return s.checkEnd(s.Start.Add(24 * time.Hour))
	case SpanMonth:
		return s.checkMonth()
	}
	return result.Invalid("resolution", "must be hour, day, month or opening")
}

func (s ImportedSpan) checkEnd(want time.Time) error {
	if !s.End.Equal(want) {
		return result.Invalid("end", "must be a %s after start", s.Resolution)
	}
	return nil
}

// checkMonth finds the zone, from 12 hours behind UTC to 14 before it, in which a
// month begins at the start.
func (s ImportedSpan) checkMonth() error {
	for offset := -12 * time.Hour; offset <= 14*time.Hour; offset += time.Hour {
		local := s.Start.Add(offset)
		if local.Day() == 1 && local.Hour() == 0 {
			return s.checkEnd(local.AddDate(0, 1, 0).Add(-offset))
		}
	}
	return result.Invalid("start", "must be where a month begins in a zone of whole hours")
}

func (s ImportedSpan) empty() bool {
	return s.Requests|s.InputTokens|s.OutputTokens|s.CacheCreationTokens|s.CacheReadTokens|s.TotalTokens == 0 && s.Cost.IsZero()
}

// importBatch sets some spans in one transaction.
func (r *Repo) importBatch(ctx context.Context, batch []checkedSpan) (done ImportResult, err error) {
	var p db.UsageImportParams
	var empty db.UsageImportRemoveParams
	for _, s := range batch {
		s.addTo(&p, &empty)
	}
	err = r.Primary.Write(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		if err = r.queries.UsageImportLock(ctx, c, importLock); err != nil {
			return err
		}
		if len(empty.Ids) > 0 {
			if done.Removed, err = r.queries.UsageImportRemove(ctx, c, empty); err != nil {
				return err
			}
		}
		row, err := r.queries.UsageImport(ctx, c, p)
		done.Written, done.Cleaned = row.Written, row.Cleaned
		return err
	})
	done.Unchanged = int64(len(batch)) - done.Written - done.Removed - done.Cleaned
	return done, err
}

// addTo puts a span among those to write, or to remove.
func (s checkedSpan) addTo(p *db.UsageImportParams, empty *db.UsageImportRemoveParams) {
	if s.empty() {
		empty.Scopes, empty.Ids, empty.Models = append(empty.Scopes, string(s.Scope)), append(empty.Ids, s.id), append(empty.Models, s.Model)
		empty.Resolutions, empty.StartsAt = append(empty.Resolutions, string(s.Resolution)), append(empty.StartsAt, s.Start)
		return
	}
	p.Scopes, p.Ids, p.Models = append(p.Scopes, string(s.Scope)), append(p.Ids, s.id), append(p.Models, s.Model)
	p.Resolutions = append(p.Resolutions, string(s.Resolution))
	p.StartsAt, p.EndsAt = append(p.StartsAt, s.Start), append(p.EndsAt, s.End)
	p.Requests, p.InputTokens, p.OutputTokens = append(p.Requests, s.Requests), append(p.InputTokens, s.InputTokens), append(p.OutputTokens, s.OutputTokens)
	p.CacheCreationTokens = append(p.CacheCreationTokens, s.CacheCreationTokens)
	p.CacheReadTokens = append(p.CacheReadTokens, s.CacheReadTokens)
	p.TotalTokens, p.Costs = append(p.TotalTokens, s.TotalTokens), append(p.Costs, dbtype.Decimal{Decimal: s.Cost.Decimal()})
}
