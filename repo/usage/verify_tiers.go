package usage

import (
	"context"
	"errors"
	"time"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const day = 24 * time.Hour

// summed is how a tier is compared with what it sums up.
type summed struct {
	table  string
	global bool          // over all keys and accounts
	below  int           // the tier it sums up
	width  time.Duration // of a cell
	find   find
}

// find gives the wrong cells of a span, at most RowLimit.
type find func(*db.Queries, context.Context, db.DBTX, db.UsageVerifyHoursParams) ([]wrongRow, error)

type wrongRow = db.UsageVerifyHoursRow

// summedTiers are in an order in which each comes after the one that it sums up; the
// first one sums up the records.
var summedTiers = [...]summed{
	{"usage_rollups", false, 0, cell, findQuarters},
	{"usage_rollups_hourly", false, 0, time.Hour, (*db.Queries).UsageVerifyHours},
	{"usage_rollups_daily", false, 1, day, like((*db.Queries).UsageVerifyDays)},
	{"usage_rollups_global", true, 0, cell, like((*db.Queries).UsageVerifyGlobal)},
	{"usage_rollups_global_daily", true, 3, day, like((*db.Queries).UsageVerifyGlobalDays)},
}

const dailyTier = 2

func findQuarters(q *db.Queries, ctx context.Context, c db.DBTX, p db.UsageVerifyHoursParams) ([]wrongRow, error) { //nolint:revive // as a method's expression has it
	rows, err := q.UsageVerifyQuarters(ctx, c, db.UsageVerifyQuartersParams{RowLimit: p.RowLimit, Low: p.Low, High: p.High, Repair: p.Repair})
	return wrongRows(rows), err
}

// like makes another tier's query UsageVerifyHours'.
func like[P db.UsageVerifyDaysParams | db.UsageVerifyGlobalParams | db.UsageVerifyGlobalDaysParams,
	R db.UsageVerifyDaysRow | db.UsageVerifyGlobalRow | db.UsageVerifyGlobalDaysRow](
	f func(*db.Queries, context.Context, db.DBTX, P) ([]R, error),
) find {
	return func(q *db.Queries, ctx context.Context, c db.DBTX, p db.UsageVerifyHoursParams) ([]wrongRow, error) {
		rows, err := f(q, ctx, c, P(p))
		return wrongRows(rows), err
	}
}

func wrongRows[R db.UsageVerifyQuartersRow | db.UsageVerifyDaysRow | db.UsageVerifyGlobalRow | db.UsageVerifyGlobalDaysRow | db.UsageVerifyTotalsRow](rows []R) []wrongRow {
	out := make([]wrongRow, len(rows))
	for i, row := range rows {
		out[i] = wrongRow(row)
	}
	return out
}

// day compares the hours of a UTC day that have data with their records, and the
// other tiers of the whole day with what they sum up, if that is right.
func (v *verification) day(ctx context.Context, start time.Time) error {
	var left [len(summedTiers)]bool
	end := start.Add(day)
	for at := start; at.Before(end); {
		next, err := v.next(ctx, at)
		if err != nil {
			return err
		}
		if next.IsZero() || !next.Before(end) {
			break
		}
		hour := next.Truncate(time.Hour)
		wrong, err := v.over(ctx, summedTiers[0], hour, hour.Add(time.Hour), false)
		if err != nil {
			return err
		}
		left[0] = left[0] || wrong
		at = hour.Add(time.Hour)
		v.reached(at)
	}
	for i, t := range summedTiers[1:] {
		wrong, err := v.over(ctx, t, start, end, left[t.below])
		if err != nil {
			return err
		}
		left[i+1] = wrong
	}
	if left[dailyTier] {
		v.wrongDays = append(v.wrongDays, start)
	}
	v.wrongSums = v.wrongSums || left[len(summedTiers)-1]
	v.reached(end)
	return nil
}

// monthly compares the months' numbers of records with the days', which must be right.
func (v *verification) monthly(ctx context.Context) error {
	if v.wrongSums {
		return nil
	}
	_, err := v.compare(ctx, monthCell, func(ctx context.Context, c db.DBTX, repair bool) ([]wrongRow, error) {
		rows, err := v.queries.UsageVerifyMonths(ctx, c, db.UsageVerifyMonthsParams{Repair: repair, RowLimit: maxCellsReported})
		out := make([]wrongRow, len(rows))
		for i, row := range rows {
			out[i] = wrongRow{Bucket: row.Bucket, Fault: row.Fault, Wrong: row.Wrong}
		}
		return out, err
	})
	return err
}

func monthCell(row wrongRow) WrongCell {
	return WrongCell{Tier: "usage_months", Fault: row.Fault, Bucket: row.Bucket.UTC()}
}

// over compares a span of a tier; where that takes too long, its halves, in whole
// cells. It tells whether wrong cells are left.
func (v *verification) over(ctx context.Context, t summed, low, high time.Time, fromRecords bool) (left bool, err error) {
	left, err = v.compare(ctx, t.cell, func(ctx context.Context, c db.DBTX, repair bool) ([]wrongRow, error) {
		return t.find(v.queries, ctx, c, db.UsageVerifyHoursParams{
			Low: low, High: high, FromRecords: fromRecords, Repair: repair, RowLimit: maxCellsReported,
		})
	})
	middle := low.Add(high.Sub(low) / 2).Truncate(t.width)
	if !tookTooLong(ctx, err) || !low.Before(middle) {
		return left, err
	}
	first, err := v.over(ctx, t, low, middle, fromRecords)
	if err != nil {
		return first, err
	}
	second, err := v.over(ctx, t, middle, high, fromRecords)
	return first || second, err
}

// tookTooLong tells a comparison's time from its caller's.
func tookTooLong(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() == nil && errors.Is(result.From(err), result.QueryTimeout)
}

// compare looks for wrong cells. To repair them it makes the compactors pass and looks
// again: what is wrong then has been proven so.
func (v *verification) compare(ctx context.Context, name func(wrongRow) WrongCell, look func(ctx context.Context, c db.DBTX, repair bool) ([]wrongRow, error)) (left bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	var rows []wrongRow
	err = v.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		rows, err = look(ctx, c, false)
		return err
	})
	if err == nil && len(rows) > 0 && v.Repair {
		err = v.Primary.Unfenced().Write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
			if err = v.queries.UsageCompactorHold(ctx, tx, compactLock); err != nil {
				return err
			}
			rows, err = look(ctx, tx, true)
			return err
		})
	}
	if err != nil {
		return false, err
	}
	v.note(name, rows)
	return len(rows) > 0 && !v.Repair, nil
}

// cell names a cell of the tier.
func (t summed) cell(row wrongRow) WrongCell {
	c := WrongCell{Tier: t.table, Fault: row.Fault, Model: row.Model, Bucket: row.Bucket.UTC()}
	if !t.global {
		c.APIKeyID, c.AccountID = row.APIKeyID.String(), row.AccountID.String()
	}
	return c
}

// totalOf names a total of the kind.
func totalOf(kind string) func(wrongRow) WrongCell {
	return func(row wrongRow) WrongCell {
		c := WrongCell{Tier: "usage_totals", Fault: row.Fault}
		if kind == "key" {
			c.APIKeyID = row.APIKeyID.String()
		} else {
			c.AccountID = row.AccountID.String()
		}
		return c
	}
}
