package usage

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
)

// spans are what imported ones add to an answer.
type spans struct {
	// cells count as the ledger's do: they tell of each use once.
	cells []db.UsageStatsByKeyRow
	// accounts tell of the same uses by account, over all keys: they count there only.
	accounts []db.UsageStatsByKeyRow
	// approximate are the buckets that a span reaches into from another one, or out of.
	approximate []int
}

// spansOf reads what is imported, where anything is. Nothing tells of a key and an
// account together: what only one of them is known of counts under the nil id of the
// other, and an answer about both has none.
func (r *Repo) spansOf(ctx context.Context, c db.DBTX, p *plan) (s spans, err error) {
	if !p.imported || p.key != uuid.Nil && p.account != uuid.Nil {
		return spans{}, nil
	}
	var rows, accounts []db.UsageImportedByIDRow
	switch {
	case p.key != uuid.Nil:
		rows, err = r.spansByID(ctx, c, p, ScopeKey, p.key)
	case p.account != uuid.Nil:
		rows, err = r.spansByID(ctx, c, p, ScopeAccount, p.account)
	default:
		if rows, err = r.spansByTime(ctx, c, p, ScopeKey); err == nil && p.GroupBy == ByAccount {
			accounts, err = r.spansByTime(ctx, c, p, ScopeAccount)
		}
	}
	if err != nil {
		return spans{}, err
	}
	reach := make([]int, len(p.label)+2)
	s.cells, s.accounts = spanCells(rows, reach), spanCells(accounts, reach)
	if p.key != uuid.Nil && p.GroupBy == ByAccount || p.account != uuid.Nil && p.GroupBy == ByAPIKey {
		for i := range s.cells {
			s.cells[i].GroupID = uuid.Nil
		}
	}
	s.approximate = p.reached(reach)
	return s, nil
}

func (r *Repo) spansByID(ctx context.Context, c db.DBTX, p *plan, scope Scope, id uuid.UUID) ([]db.UsageImportedByIDRow, error) {
	return r.queries.UsageImportedByID(ctx, c, db.UsageImportedByIDParams{
		Bounds: p.bounds, RangeStart: p.StartDate, RangeEnd: p.EndDate, Scope: string(scope), ID: id, Model: p.Model, RowLimit: maxCells + 1,
	})
}

// longest is how long a span of a resolution may be; an opening balance has no bound
// but the last time there is.
var longest = []struct {
	resolution Resolution
	width      time.Duration
}{{SpanHour, time.Hour}, {SpanDay, 24 * time.Hour}, {SpanMonth, 31 * 24 * time.Hour}}

func (r *Repo) spansByTime(ctx context.Context, c db.DBTX, p *plan, scope Scope) ([]db.UsageImportedByIDRow, error) {
	params := db.UsageImportedByTimeParams{
		Bounds: p.bounds, RangeStart: p.StartDate, RangeEnd: p.EndDate, Scope: string(scope), Model: p.Model, RowLimit: maxCells + 1,
		Resolutions: []string{string(SpanOpening)}, Ended: []time.Time{time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)},
	}
	for _, l := range longest {
		params.Resolutions, params.Ended = append(params.Resolutions, string(l.resolution)), append(params.Ended, p.EndDate.Add(l.width))
	}
	if scope == ScopeAccount || p.GroupBy == ByAPIKey {
		rows, err := r.queries.UsageImportedByTime(ctx, c, params)
		return spanRows(rows), err
	}
	rows, err := r.queries.UsageImportedGlobal(ctx, c, db.UsageImportedGlobalParams{
		Bounds: params.Bounds, RangeStart: params.RangeStart, RangeEnd: params.RangeEnd, Model: params.Model, RowLimit: params.RowLimit,
		Resolutions: params.Resolutions, Ended: params.Ended,
	})
	return spanRows(rows), err
}

func spanRows[R db.UsageImportedByTimeRow | db.UsageImportedGlobalRow](rows []R) []db.UsageImportedByIDRow {
	out := make([]db.UsageImportedByIDRow, len(rows))
	for i, row := range rows {
		out[i] = db.UsageImportedByIDRow(row)
	}
	return out
}

// spanCells gives the rows that count, and notes in reach where those that cross a
// bound begin and end to do so: +1 for the first slot, -1 after the last.
func spanCells(rows []db.UsageImportedByIDRow, reach []int) []db.UsageStatsByKeyRow {
	cells := make([]db.UsageStatsByKeyRow, 0, len(rows))
	for _, row := range rows {
		if row.First < row.Last {
			reach[max(row.First, 1)]++
			reach[min(int(row.Last)+1, len(reach)-1)]--
		}
		if row.Counts {
			cells = append(cells, db.UsageStatsByKeyRow{
				Slot: row.First, Model: row.Model, GroupID: row.GroupID,
				Requests: row.Requests, InputTokens: row.InputTokens, OutputTokens: row.OutputTokens,
				CacheCreationTokens: row.CacheCreationTokens, CacheReadTokens: row.CacheReadTokens,
				TotalTokens: row.TotalTokens, Cost: row.Cost,
			})
		}
	}
	return cells
}

// reached gives the buckets of the slots that are reached.
func (c calendar) reached(reach []int) (labels []int) {
	open := 0
	for slot := 1; slot <= len(c.label); slot++ {
		if open += reach[slot]; open > 0 {
			labels = append(labels, c.label[slot-1])
		}
	}
	return labels
}

// rest is the cost that the cells have and no account does: nobody's, in an analysis
// by account. Where accounts have more there is none.
func (s spans) rest() []db.UsageStatsByKeyRow {
	var rest db.UsageStatsByKeyRow
	for _, cell := range s.cells {
		rest.Cost.Decimal = rest.Cost.Add(cell.Cost.Decimal)
	}
	for _, cell := range s.accounts {
		rest.Cost.Decimal = rest.Cost.Sub(cell.Cost.Decimal)
	}
	if !rest.Cost.IsPositive() {
		return nil
	}
	return []db.UsageStatsByKeyRow{rest}
}

// tooMany tells whether an answer is beyond its bound.
func tooMany(cells []db.UsageStatsByKeyRow, s spans) bool {
	return len(cells)+len(s.cells)+len(s.accounts) > maxCells
}
