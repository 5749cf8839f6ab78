package usage

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// RollupsFrom gives the time before which a clean-up has removed figures: spans that end
// by then are not imported any more. It only moves forward; an extension.
func (r *Repo) RollupsFrom(ctx context.Context) (from time.Time, err error) {
	err = r.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) error {
		h, err := r.queries.UsageHorizon(ctx, c)
		from = h.RollupsFrom
		return err
	})
	return from, err
}

// Imported gives the spans of at most MaxSummedIDs keys or accounts, in the order of
// ids and starts; an extension. More than 200,000 are InvalidQuery.
func (r *Repo) Imported(ctx context.Context, scope Scope, ids []string) result.Result[[]ImportedSpan] {
	return result.Of(r.imported(ctx, scope, ids))
}

func (r *Repo) imported(ctx context.Context, scope Scope, ids []string) ([]ImportedSpan, error) {
	parsed, err := parseIDs(scope, ids)
	if err != nil {
		return nil, err
	}
	var rows []db.UsageImportedSpansRow
	err = r.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		rows, err = r.queries.UsageImportedSpans(ctx, c, db.UsageImportedSpansParams{Scope: string(scope), Ids: parsed, RowLimit: maxCells + 1})
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case len(rows) > maxCells:
		return nil, result.Invalid("ids", "they have more than %d spans", maxCells)
	}
	spans := make([]ImportedSpan, len(rows))
	for i, s := range rows {
		spans[i] = ImportedSpan{
			Scope: Scope(s.Scope), ID: s.ID.String(), Model: s.Model, Start: s.StartsAt.UTC(), End: s.EndsAt.UTC(), Resolution: Resolution(s.Resolution),
			Requests: s.Requests, InputTokens: s.InputTokens, OutputTokens: s.OutputTokens,
			CacheCreationTokens: s.CacheCreationTokens, CacheReadTokens: s.CacheReadTokens, TotalTokens: s.TotalTokens,
			Cost: result.NewMoney(s.Cost.Decimal),
		}
	}
	return spans, nil
}

// Sums gives what at most MaxSummedIDs keys or accounts used between neighbouring
// bounds, over all models, records and imported spans together, as GetUsageStats would
// one by one; an extension. The element i of an id is from bounds[i] to bounds[i+1];
// every id that was asked for has all of them. Bounds are whole hours in rising order;
// ids times bounds are at most 200,000.
func (r *Repo) Sums(ctx context.Context, scope Scope, ids []string, bounds []time.Time) result.Result[map[string][]Figures] {
	return result.Of(r.sumsOf(ctx, scope, ids, bounds))
}

func (r *Repo) sumsOf(ctx context.Context, scope Scope, ids []string, bounds []time.Time) (map[string][]Figures, error) {
	parsed, err := parseIDs(scope, ids)
	if err != nil {
		return nil, err
	}
	if err := checkBounds(bounds, len(ids)); err != nil {
		return nil, err
	}
	var rows []db.UsageSumsRow
	err = r.Primary.Snapshot(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		rows, err = r.queries.UsageSums(ctx, c, db.UsageSumsParams{
			Scope: string(scope), Ids: parsed, Bounds: bounds, RangeStart: bounds[0], RangeEnd: bounds[len(bounds)-1], RowLimit: maxCells,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	sums := make(map[string][]Figures, len(parsed))
	for _, id := range parsed {
		sums[id.String()] = make([]Figures, len(bounds)-1)
	}
	for _, row := range rows {
		sums[row.ID.String()][row.Slot-1] = Figures{
			Requests: row.Requests, InputTokens: row.InputTokens, OutputTokens: row.OutputTokens,
			CacheCreationTokens: row.CacheCreationTokens, CacheReadTokens: row.CacheReadTokens,
			TotalTokens: row.TotalTokens, Cost: result.NewMoney(row.Cost.Decimal),
		}
	}
	return sums, nil
}

func checkBounds(bounds []time.Time, ids int) error {
	if len(bounds) < 2 || len(bounds)*ids > maxCells {
		return result.Invalid("bounds", "must be two or more, and with the ids at most %d cells", maxCells)
	}
	for i, b := range bounds {
		if !b.Equal(b.Truncate(time.Hour)) || i > 0 && !b.After(bounds[i-1]) {
			return result.Invalid("bounds", "must be whole hours in rising order")
		}
	}
	if bounds[0].Year() < 1 || bounds[len(bounds)-1].Year() > 9999 {
		return result.Invalid("bounds", "must lie between the years 1 and 9999")
	}
	return nil
}

// parseIDs gives each id once.
func parseIDs(scope Scope, ids []string) ([]uuid.UUID, error) {
	if err := scope.check(); err != nil {
		return nil, err
	}
	if len(ids) > MaxSummedIDs {
		return nil, result.Invalid("ids", "must be at most %d", MaxSummedIDs)
	}
	parsed := make([]uuid.UUID, 0, len(ids))
	seen := make(map[uuid.UUID]struct{}, len(ids))
	for i, text := range ids {
		id, err := result.ParseID("ids", text)
		if err != nil {
			return nil, result.From(err).With("index", i)
		}
		if _, twice := seen[id]; !twice {
			seen[id] = struct{}{}
			parsed = append(parsed, id)
		}
	}
	return parsed, nil
}
