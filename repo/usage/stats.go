package usage

import (
	"context"
	"slices"
	"time"
	_ "time/tzdata" // any IANA zone, also in an image without zone files

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// maxCells bounds what one answer holds in memory: a cell is a bucket, a model
// and a key or account.
const maxCells = 200_000

// GetUsageStats sums the ledger by bucket. It includes every record whose
// RecordUsage has returned; with a journal, what OldestUnflushedMs says; and what is
// imported. Wrong input, and an answer of more than 10,000 buckets or 200,000 cells, is
// InvalidQuery and names the field.
func (r *Repo) GetUsageStats(ctx context.Context, q StatsQuery) result.Result[Stats] {
	return result.Of(r.stats(ctx, q))
}

func (r *Repo) stats(ctx context.Context, q StatsQuery) (Stats, error) {
	plan, err := q.plan()
	if err != nil {
		return Stats{}, err
	}
	if redis := r.onRedis(); redis != nil {
		return r.redisStats(ctx, redis, &plan)
	}
	unflushed := r.oldestUnflushed(ctx) // before the figures: what leaves the journal meanwhile is in them
	var cells []db.UsageStatsByKeyRow
	var imported spans
	var names map[uuid.UUID]string
	err = r.Primary.Snapshot(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		if cells, err = r.cells(ctx, c, &plan); err != nil {
			return err
		}
		if imported, err = r.spansOf(ctx, c, &plan); err != nil {
			return err
		}
		names, err = r.names(ctx, c, q.GroupBy, cells, imported.cells, imported.accounts)
		return err
	})
	switch {
	case err != nil:
		return Stats{}, err
	case tooMany(cells, imported):
		return Stats{}, result.Invalid("granularity", "the answer has more than %d cells", maxCells)
	}
	s := assemble(plan, cells, imported, names)
	s.OldestUnflushedMs = unflushed
	for _, i := range slices.Concat(plan.approximate(plan.horizon), imported.approximate) {
		s.Stats[i].Approximate = true
	}
	return s, nil
}

// plan is a checked query in the database's terms.
type plan struct {
	StatsQuery

	calendar

	key, account uuid.UUID
	tokens       bool      // false where they are not needed over all keys
	horizon      time.Time // as it was when the cells were read
	imported     bool      // there were spans then
}

func (q StatsQuery) plan() (p plan, err error) {
	q.StartDate, q.EndDate = q.StartDate.UTC().Truncate(time.Microsecond), q.EndDate.UTC().Truncate(time.Microsecond)
	p = plan{StatsQuery: q, tokens: true}
	if q.APIKeyID != "" {
		if p.key, err = result.ParseID("apiKeyId", q.APIKeyID); err != nil {
			return plan{}, err
		}
	}
	if q.AccountID != "" {
		if p.account, err = result.ParseID("accountId", q.AccountID); err != nil {
			return plan{}, err
		}
	}
	if err := q.check(); err != nil {
		return plan{}, err
	}
	loc, err := time.LoadLocation(q.TimeZone)
	if err != nil || q.TimeZone == "Local" {
		return plan{}, result.Invalid("timeZone", "not an IANA time zone")
	}
	p.calendar, err = newCalendar(q.StartDate, q.EndDate, loc, q.Granularity)
	return p, err
}

func (q StatsQuery) check() error {
	switch {
	case q.Granularity != Hour && q.Granularity != Day && q.Granularity != Month:
		return result.Invalid("granularity", "must be hour, day or month")
	case q.GroupBy != "" && q.GroupBy != ByModel && q.GroupBy != ByAccount && q.GroupBy != ByAPIKey:
		return result.Invalid("groupBy", "must be model, account or apikey")
	case q.StartDate.IsZero():
		return result.Invalid("startDate", "required")
	case q.EndDate.IsZero():
		return result.Invalid("endDate", "required")
	case !q.StartDate.Before(q.EndDate):
		return result.Invalid("endDate", "must be after startDate")
	case q.StartDate.Year() < 1:
		return result.Invalid("startDate", "must not lie before the year 1")
	case q.EndDate.Year() > 9999:
		return result.Invalid("endDate", "must lie before the year 10000")
	}
	return result.CheckText("model", q.Model, maxModel)
}

// cells reads the sums by the index that the query's narrowest id has. A clean-up
// moves the horizon before it deletes: where it stands later in the snapshot than the
// query took it for, the records at a torn edge may be gone.
func (r *Repo) cells(ctx context.Context, c db.DBTX, p *plan) ([]db.UsageStatsByKeyRow, error) {
	for p.horizon = *r.horizon.Load(); ; {
		rows, err := r.sums(ctx, c, p)
		if err != nil {
			return nil, err
		}
		if moved, err := r.horizonMoved(ctx, c, p); err != nil || !moved {
			return rows, err
		}
	}
}

// horizonMoved tells whether a plan must be read again, under a later horizon. It also
// looks whether there are imported spans.
func (r *Repo) horizonMoved(ctx context.Context, c db.DBTX, p *plan) (bool, error) {
	h, err := r.queries.UsageHorizon(ctx, c)
	p.imported = h.Imported
	if err != nil || !h.RecordsFrom.After(p.horizon) {
		return false, err
	}
	p.horizon = h.RecordsFrom
	r.horizon.Store(&h.RecordsFrom)
	return true, nil
}

func (r *Repo) sums(ctx context.Context, c db.DBTX, p *plan) ([]db.UsageStatsByKeyRow, error) {
	g := p.ranges(keyTiers, p.horizon)
	params := db.UsageStatsByKeyParams{
		Bounds: p.bounds, GroupBy: string(p.GroupBy), Tiers: g.tiers, Lows: g.lows, Highs: g.highs, APIKeyID: p.key,
		RangeStart: p.StartDate, RangeEnd: p.EndDate, Torn: g.torn, Model: p.Model, RowLimit: maxCells + 1,
	}
	switch {
	case p.key != uuid.Nil:
		if p.account != uuid.Nil {
			params.AccountID = &p.account
		}
		return r.queries.UsageStatsByKey(ctx, c, params)
	case p.account != uuid.Nil:
		rows, err := r.queries.UsageStatsByAccount(ctx, c, db.UsageStatsByAccountParams{
			Bounds: params.Bounds, GroupBy: params.GroupBy, Tiers: g.tiers, Lows: g.lows, Highs: g.highs, AccountID: p.account,
			RangeStart: params.RangeStart, RangeEnd: params.RangeEnd, Torn: g.torn, Model: params.Model, RowLimit: params.RowLimit,
		})
		return converted(rows), err
	case p.GroupBy == ByAccount || p.GroupBy == ByAPIKey:
		rows, err := r.queries.UsageStatsByBucket(ctx, c, db.UsageStatsByBucketParams{
			Bounds: params.Bounds, GroupBy: params.GroupBy, Tiers: g.tiers, Lows: g.lows, Highs: g.highs,
			RangeStart: params.RangeStart, RangeEnd: params.RangeEnd, Torn: g.torn, Model: params.Model, RowLimit: params.RowLimit,
			Tokens: p.tokens,
		})
		return converted(rows), err
	}
	g = p.ranges(globalTiers, p.horizon)
	rows, err := r.queries.UsageStatsGlobal(ctx, c, db.UsageStatsGlobalParams{
		Bounds: params.Bounds, Tiers: g.tiers, Lows: g.lows, Highs: g.highs,
		RangeStart: params.RangeStart, RangeEnd: params.RangeEnd, Torn: g.torn, Model: params.Model, RowLimit: params.RowLimit,
		Tokens: p.tokens,
	})
	return converted(rows), err
}

func converted[R db.UsageStatsByAccountRow | db.UsageStatsByBucketRow | db.UsageStatsGlobalRow](rows []R) []db.UsageStatsByKeyRow {
	out := make([]db.UsageStatsByKeyRow, len(rows))
	for i, row := range rows {
		out[i] = db.UsageStatsByKeyRow(row)
	}
	return out
}

// assemble puts the cells into their buckets.
func assemble(p plan, cells []db.UsageStatsByKeyRow, imported spans, names map[uuid.UUID]string) Stats {
	s := Stats{Stats: make([]Bucket, len(p.labels))}
	for i, label := range p.labels {
		s.Stats[i] = newBucket(label, p.GroupBy)
	}
	var all Figures
	add := func(cells []db.UsageStatsByKeyRow, whole, part bool) {
		for _, row := range cells {
			b, f := &s.Stats[p.label[row.Slot-1]], figures(row)
			if whole {
				b.add(f)
				all.add(f)
				merge(b.Models, row.Model, f)
			}
			if part {
				f.Name = names[row.GroupID]
				b.addPart(text(row.GroupID), f)
			}
		}
	}
	add(cells, true, true)
	// Over all keys, a part of an account comes from the account's own spans.
	add(imported.cells, true, p.GroupBy != ByAccount || p.key != uuid.Nil || p.account != uuid.Nil)
	add(imported.accounts, false, true)
	s.Summary = Summary{
		TotalRequests: all.Requests, TotalTokens: all.TotalTokens, TotalCost: all.Cost,
		AverageCostPerToken: average(all.Cost, all.TotalTokens),
	}
	return s
}

// addPart adds figures to those of an account or a key, where these are told apart.
func (b *Bucket) addPart(id string, f Figures) {
	switch {
	case b.Accounts != nil:
		merge(b.Accounts, id, f)
	case b.APIKeys != nil:
		merge(b.APIKeys, id, f)
	}
}

func newBucket(label string, by GroupBy) Bucket {
	b := Bucket{Date: label, Models: map[string]Figures{}}
	switch by {
	case ByAccount:
		b.Accounts = map[string]Figures{}
	case ByAPIKey:
		b.APIKeys = map[string]Figures{}
	}
	return b
}

func figures(row db.UsageStatsByKeyRow) Figures {
	return Figures{
		Requests: row.Requests, InputTokens: row.InputTokens, OutputTokens: row.OutputTokens,
		CacheCreationTokens: row.CacheCreationTokens, CacheReadTokens: row.CacheReadTokens,
		TotalTokens: row.TotalTokens, Cost: result.NewMoney(row.Cost.Decimal),
	}
}

func merge(into map[string]Figures, id string, f Figures) {
	sum := into[id]
	sum.add(f)
	sum.Name = f.Name
	into[id] = sum
}

// average divides exactly and rounds half-even once.
func average(cost result.Money, tokens int64) result.Money {
	if tokens == 0 {
		return result.Money{}
	}
	// Twelve decimals over at most 19 digits come no closer to a half than
	// 5·10⁻³², so 40 digits decide it.
	return result.NewMoney(cost.Decimal().DivRound(decimal.NewFromInt(tokens), 40))
}
