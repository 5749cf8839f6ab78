package monitoring

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/strategy"
)

const (
	// spread keeps processes from storing all at once.
	spread = 2 * time.Second
	// keeps is how long rows are kept: the longest range and a day.
	keeps     = 8 * 24 * time.Hour
	trimEvery = time.Hour
	trimRows  = 1000
	// ahead is how far a clock may be before this one's; rows beyond are dropped.
	ahead = time.Hour
)

// run stores each minute when it is over.
func (r *Repo) run(ctx context.Context) {
	later := rand.N(spread) //nolint:gosec // any spread does
	failing := false
	var trimmed time.Time
	for pause(ctx, untilNextMinute(r.now())+later) {
		r.samples.roll(r.now(), false)
		err := r.store(ctx)
		if failing != (err != nil) && ctx.Err() == nil {
			failing = err != nil
			r.report(failing)
		}
		if err == nil && r.now().Sub(trimmed) >= trimEvery && r.trim(ctx) == nil {
			trimmed = r.now()
		}
	}
}

func (r *Repo) report(failing bool) {
	if failing {
		r.Logger.Warn("relaystore: performance samples cannot be stored, they wait")
		return
	}
	r.Logger.Info("relaystore: performance samples are stored again")
}

func untilNextMinute(now time.Time) time.Duration {
	return now.Truncate(time.Minute).Add(time.Minute).Sub(now)
}

// store writes the minutes that are over and the queries of the hour. What fails is
// tried again the next minute; rows have their own ids, so that nothing counts twice.
// A commit need not wait for the disk: a crash costs the minute that it cost anyway.
func (r *Repo) store(ctx context.Context) error {
	now := r.now()
	samples, hour, queries := r.samples.toStore()
	row := queryRow(hour, queries)
	err := r.Primary.Retrying(0).Write(ctx, func(ctx context.Context, tx db.DBTX) error {
		if err := r.queries.CommitSoon(ctx, tx); err != nil {
			return err
		}
		for _, s := range samples {
			if err := r.queries.PerformanceSampleInsert(ctx, tx, s.row()); err != nil {
				return err
			}
		}
		if len(row.Names) == 0 {
			return nil
		}
		return r.queries.PerformanceQueryUpsert(ctx, tx, row)
	})
	if err == nil {
		r.samples.stored(samples)
		r.samples.nextHour(now, queries)
	}
	return err
}

// toStore gives the minutes that are over, and the queries of this hour so far.
func (s *sampler) toStore() ([]sample, hour, map[string]strategy.QueryFigures) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.unstored), s.hour, s.repo.Primary.Meter.Queries()
}

// nextHour begins another row of queries when the hour is over, where the last one
// ended.
func (s *sampler) nextHour(now time.Time, stored map[string]strategy.QueryFigures) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if start := now.UTC().Truncate(time.Hour); !start.Equal(s.hour.start) {
		s.hour = hour{start, uuid.New(), stored}
	}
}

func queryRow(h hour, all map[string]strategy.QueryFigures) db.PerformanceQueryUpsertParams {
	p := db.PerformanceQueryUpsertParams{Hour: h.start, ID: h.id}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		q, before := all[name], h.base[name]
		if q.Calls == before.Calls {
			continue
		}
		p.Names = append(p.Names, name)
		p.Calls = append(p.Calls, q.Calls-before.Calls)
		p.TotalMicros = append(p.TotalMicros, (q.Total - before.Total).Microseconds())
		p.LastExecuted = append(p.LastExecuted, q.Last)
	}
	return p
}

// trim drops what is too old, in transactions of 1,000 rows.
func (r *Repo) trim(ctx context.Context) error {
	before, after := r.now().Add(-keeps), r.now().Add(ahead)
	for _, drop := range []func(context.Context, db.DBTX) (int64, error){
		func(ctx context.Context, c db.DBTX) (int64, error) {
			return r.queries.PerformanceTrim(ctx, c, db.PerformanceTrimParams{Before: before, After: after, RowLimit: trimRows})
		},
		func(ctx context.Context, c db.DBTX) (int64, error) {
			return r.queries.PerformanceQueryTrim(ctx, c, db.PerformanceQueryTrimParams{Before: before, After: after, RowLimit: trimRows})
		},
	} {
		for dropped := int64(trimRows); dropped == trimRows; {
			err := r.Primary.Retrying(0).Write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
				dropped, err = drop(ctx, tx)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
