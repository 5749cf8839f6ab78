package usage

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// verifyTimeout bounds one comparison, its retries included; what takes longer is
// compared in halves.
const verifyTimeout = time.Minute

// VerifyOptions says what Verify does beside comparing.
type VerifyOptions struct {
	// Repair replaces the cells that are wrong.
	Repair bool
	// Progress is told how many of how many steps are done; both only grow. A step is
	// an hour, or a range of ids. nil is not told.
	Progress func(done, total int)
}

// Verify recomputes every tier of the rollups and compares, while recording and
// compaction go on; an extension. 15 minutes are compared with their records, hours
// and all keys together with those, days with hours, totals with days; where cells
// are wrong and left so, what sums them up is compared with the records.
//
// Each comparison is one statement of at most a UTC day or 50,000 daily rows, beyond
// which only a single account or key goes. What a clean-up has removed the records of
// is not looked at. With Repair, wrong cells are compared again while no compactor
// works, and replaced in the same transaction; no other row is touched.
//
// It may be ended by ctx and run again at any time. The report then, and after a
// failure, tells how far it came. Cells that are wrong are not an error. Inside a
// transaction it is InvalidQuery.
func (r *Repo) Verify(ctx context.Context, opts VerifyOptions) (VerifyReport, error) {
	if r.Primary.InTx() {
		return VerifyReport{}, errVerifyInTx
	}
	v := r.verification(opts)
	err := v.run(ctx)
	if r.onRedis() != nil {
		v.report.Unchecked = strings.TrimPrefix(v.report.Unchecked+"; what is counted in Redis, where usage is now", "; ")
	}
	if err != nil {
		return v.report, result.From(err)
	}
	return v.report, nil
}

// verification is one run.
type verification struct {
	*Repo
	VerifyOptions

	timeout   time.Duration
	rows      int32 // that a range of ids has in usage_rollups_daily, about
	report    VerifyReport
	wrongDays []time.Time // of usage_rollups_daily, left so
	wrongSums bool        // in usage_rollups_global_daily, left so
	ranges    int         // of ids compared
}

func (r *Repo) verification(opts VerifyOptions) *verification {
	if opts.Progress == nil {
		opts.Progress = func(int, int) {}
	}
	return &verification{Repo: r, VerifyOptions: opts, timeout: verifyTimeout, rows: totalsRows,
		wrongDays: []time.Time{}, report: VerifyReport{Cells: []WrongCell{}}}
}

// run goes through the days that have data, then through all ids.
func (v *verification) run(ctx context.Context) error {
	if err := v.bounds(ctx); err != nil {
		return err
	}
	for at := v.report.From; at.Before(v.report.To); {
		next, err := v.next(ctx, at)
		if err != nil {
			return err
		}
		if next.IsZero() || !next.Before(v.report.To) {
			break
		}
		start := next.Truncate(day)
		if err := v.day(ctx, start); err != nil {
			return err
		}
		at = start.Add(day)
	}
	if err := v.monthly(ctx); err != nil {
		return err
	}
	return v.totals(ctx)
}

// bounds finds the days with data, from the horizon on.
func (v *verification) bounds(ctx context.Context) error {
	var h db.UsageHorizonRow
	var last time.Time
	err := v.read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		if h, err = v.queries.UsageHorizon(ctx, c); err != nil {
			return err
		}
		last, err = v.queries.UsageVerifyLast(ctx, c)
		return none(err)
	})
	if err != nil || last.Before(h.RecordsFrom) {
		return err
	}
	first, err := v.next(ctx, h.RecordsFrom)
	if err == nil && !first.IsZero() {
		v.report.From, v.report.To = first.Truncate(day), last.UTC().Truncate(day).Add(day)
	}
	return err
}

// next is the first time from after on of which anything is kept, or zero.
func (v *verification) next(ctx context.Context, after time.Time) (at time.Time, err error) {
	err = v.read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		at, err = v.queries.UsageVerifyNext(ctx, c, after)
		return none(err)
	})
	return at.UTC(), err
}

// none makes no row no error.
func none(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}

func (v *verification) read(ctx context.Context, f func(context.Context, db.DBTX) error) error {
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	return v.Primary.Read(ctx, f)
}

// reached tells the progress.
func (v *verification) reached(at time.Time) {
	hours := func(t time.Time) int { return int(t.Sub(v.report.From) / time.Hour) }
	v.Progress(hours(at)+v.ranges, hours(v.report.To)+v.ranges)
}
