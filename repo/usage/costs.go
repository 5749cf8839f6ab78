package usage

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// maxTopModels is how many of the dearest models an analysis names.
const maxTopModels = 10

// GetCostAnalysis tells what a range cost, by day, model or account, from the same
// sums as GetUsageStats and exact like them; percentages and changes are rounded as
// CostShare and CostTrend say. Deleted keys and accounts stay in it. Wrong input, and
// a range of more than 10,000 days or 200,000 cells (of a day and a model, or of an
// account and a model), is InvalidQuery and names the field. The breakdown and the
// trends are of one moment; but by account, in a READ COMMITTED transaction, where the
// range has more than 200,000 cells of a day, an account and a model.
func (r *Repo) GetCostAnalysis(ctx context.Context, q CostQuery) result.Result[CostAnalysis] {
	return result.Of(r.costs(ctx, q))
}

func (r *Repo) costs(ctx context.Context, q CostQuery) (CostAnalysis, error) {
	days, err := q.plan()
	if err != nil {
		return CostAnalysis{}, err
	}
	if redis := r.onRedis(); redis != nil {
		return r.redisCosts(ctx, redis, q, &days)
	}
	unflushed := r.oldestUnflushed(ctx) // before the figures, as for stats
	var cells, accounts []db.UsageStatsByKeyRow
	var imported spans
	var names map[uuid.UUID]string
	err = r.Primary.Snapshot(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		if q.GroupBy == ByAccount {
			cells, accounts, err = r.bothCells(ctx, c, &days)
		} else {
			cells, err = r.cells(ctx, c, &days)
		}
		if err != nil {
			return err
		}
		days.GroupBy = q.GroupBy
		if imported, err = r.spansOf(ctx, c, &days); err != nil || q.GroupBy != ByAccount {
			return err
		}
		accounts = append(slices.Clip(accounts), append(imported.accounts, imported.rest()...)...) // cells may be the same
		names, err = r.names(ctx, c, ByAccount, accounts)
		return err
	})
	switch {
	case err != nil:
		return CostAnalysis{}, err
	case tooMany(cells, imported) || len(accounts) > maxCells:
		return CostAnalysis{}, result.Invalid("endDate", "the range has more than %d cells", maxCells)
	}
	a := days.analyse(q.GroupBy, append(cells, imported.cells...), accounts, names, imported.approximate)
	a.OldestUnflushedMs = unflushed
	return a, nil
}

// analyse makes an analysis of cells by day, and of those by account where it is by them.
func (p plan) analyse(by GroupBy, cells, accounts []db.UsageStatsByKeyRow, names map[uuid.UUID]string, approximate []int) CostAnalysis {
	models := costsByModel(cells)
	a := CostAnalysis{Trends: p.trends(cells, approximate), TopModels: models[:min(len(models), maxTopModels)]}
	switch by {
	case ByDay:
		a.CostBreakdown = sharesByDay(a.Trends)
	case ByModel:
		a.CostBreakdown = sharesByModel(models)
	default:
		a.CostBreakdown = sharesByAccount(accounts, names)
	}
	setPercentages(a.CostBreakdown)
	return a
}

// bothCells reads cells by day and by account. A statement of each sees one snapshot;
// in a transaction at READ COMMITTED it need not, so there it is one statement, as
// long as its cells are not too many.
func (r *Repo) bothCells(ctx context.Context, c db.DBTX, days *plan) (cells, accounts []db.UsageStatsByKeyRow, err error) {
	if r.Primary.InTx() {
		both := *days
		both.GroupBy = ByAccount
		if cells, err = r.cells(ctx, c, &both); err != nil || len(cells) <= maxCells {
			days.horizon, days.imported = both.horizon, both.imported
			return cells, cells, err
		}
	}
	for {
		if cells, err = r.cells(ctx, c, days); err != nil {
			return nil, nil, err
		}
		// By account and not by day as well: a year of 500 accounts would be a million
		// cells. Under the horizon that the days were read under, so that both agree.
		whole := days.whole(ByAccount)
		if accounts, err = r.sums(ctx, c, &whole); err != nil {
			return nil, nil, err
		}
		if moved, err := r.horizonMoved(ctx, c, days); err != nil || !moved {
			return cells, accounts, err
		}
	}
}

// plan is of a query by day.
func (q CostQuery) plan() (plan, error) {
	if q.GroupBy != ByDay && q.GroupBy != ByModel && q.GroupBy != ByAccount {
		return plan{}, result.Invalid("groupBy", "must be day, model or account")
	}
	p, err := StatsQuery{
		APIKeyID: q.APIKeyID, StartDate: q.StartDate, EndDate: q.EndDate, Granularity: Day, TimeZone: q.TimeZone,
	}.plan()
	if err != nil && result.From(err).Field() == "granularity" { // which this query has none of
		err = result.Invalid("endDate", "the range has more than %d days", maxBuckets)
	}
	p.tokens = false
	return p, err
}

// whole is the plan with its range in one interval.
func (p plan) whole(by GroupBy) plan {
	p.GroupBy = by
	p.calendar = calendar{bounds: []time.Time{p.StartDate, p.EndDate}, labels: []string{""}, label: []int{0}}
	return p
}
