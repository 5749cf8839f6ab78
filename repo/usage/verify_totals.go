package usage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/db"
)

const (
	// totalsRows is how many daily rows a range of ids has, about.
	totalsRows = 50_000
	// maxWrongDays bounds the days that the totals read from the records.
	maxWrongDays = 31
)

// totals compares the keys' totals and the accounts', where that can be done.
func (v *verification) totals(ctx context.Context) (err error) {
	if v.report.Unchecked, err = v.whyNoTotals(ctx); err != nil || v.report.Unchecked != "" {
		return err
	}
	for _, kind := range []string{"key", "account"} {
		if err := v.totalsOf(ctx, kind); err != nil {
			return err
		}
	}
	v.report.Unchecked, err = v.whyNoTotals(ctx) // a clean-up may have come in between
	return err
}

// whyNoTotals says why the totals cannot be recomputed, or "".
func (v *verification) whyNoTotals(ctx context.Context) (string, error) {
	var h db.UsageHorizonRow
	err := v.read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		h, err = v.queries.UsageHorizon(ctx, c)
		return err
	})
	switch {
	case err != nil:
		return "", err
	case h.RollupsFrom.After(firstTime):
		return fmt.Sprintf("usage_totals: they count rollups from before %s on, which have been removed", h.RollupsFrom.UTC().Format(time.DateOnly)), nil
	case len(v.wrongDays) > maxWrongDays:
		return fmt.Sprintf("usage_totals: more than %d days of usage_rollups_daily are wrong", maxWrongDays), nil
	case slices.ContainsFunc(v.wrongDays, h.RecordsFrom.After):
		return "usage_totals: records of a wrong day of usage_rollups_daily have been removed", nil
	}
	return "", nil
}

// totalsOf goes through all ids of a kind in ranges.
func (v *verification) totalsOf(ctx context.Context, kind string) error {
	low, rows := uuid.Nil, v.rows
	for {
		high, err := v.rangeEnd(ctx, kind, low, rows)
		if err != nil {
			return err
		}
		_, err = v.compare(ctx, totalOf(kind), func(ctx context.Context, c db.DBTX, repair bool) ([]wrongRow, error) {
			found, err := v.queries.UsageVerifyTotals(ctx, c, db.UsageVerifyTotalsParams{
				Kind: kind, Low: low, High: high, WrongDays: v.wrongDays, Repair: repair, RowLimit: maxCellsReported,
			})
			return wrongRows(found), err
		})
		switch {
		case tookTooLong(ctx, err) && rows > 0:
			rows /= 2
			continue
		case err != nil:
			return err
		}
		v.ranges++
		v.reached(v.report.To)
		if high == uuid.Max {
			return nil
		}
		low, rows = successor(high), min(max(1, 2*rows), v.rows)
	}
}

// rangeEnd is the last id of a range that begins at low: at rows 0 it holds one id.
func (v *verification) rangeEnd(ctx context.Context, kind string, low uuid.UUID, rows int32) (high uuid.UUID, err error) {
	err = v.read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		if kind == "key" {
			high, err = v.queries.UsageVerifyKeyRange(ctx, c, db.UsageVerifyKeyRangeParams{Low: low, Rows: rows})
		} else {
			high, err = v.queries.UsageVerifyAccountRange(ctx, c, db.UsageVerifyAccountRangeParams{Low: low, Rows: rows})
		}
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return uuid.Max, nil
	}
	return high, err
}

// successor is the next id in the database's order; the last one has none.
func successor(id uuid.UUID) uuid.UUID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}
