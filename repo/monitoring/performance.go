package monitoring

import (
	"context"
	"time"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

var ranges = map[Range]time.Duration{
	"": time.Hour, Range5m: 5 * time.Minute, Range1h: time.Hour, Range24h: 24 * time.Hour, Range7d: 7 * 24 * time.Hour,
}

// GetPerformanceMetrics gives the figures of "5m", "1h" (also ""), "24h" or "7d" over
// all processes; any other range is InvalidQuery. It counts whole minutes: those that
// the range touches, so up to one more. The asked process counts up to now, others
// up to their last minute.
func (r *Repo) GetPerformanceMetrics(ctx context.Context, timeRange Range) (Metrics, error) {
	window, known := ranges[timeRange]
	if !known {
		return Metrics{}, result.Invalid("timeRange", "must be 5m, 1h, 24h or 7d")
	}
	m, err := r.metrics(ctx, window)
	if err != nil {
		return Metrics{}, result.From(err)
	}
	return m, nil
}

// metrics gives the figures of the last so long, which is at most what is kept.
func (r *Repo) metrics(ctx context.Context, window time.Duration) (Metrics, error) {
	now := r.now()
	since := now.UTC().Add(-window).Truncate(time.Minute)
	sum, own := r.samples.own(since, now)
	span := db.PerformanceSumParams{Since: since, Until: now.Add(ahead), Without: own}
	var row db.PerformanceSumRow
	var failed []db.PerformanceErrorsRow
	err := r.Primary.Snapshot(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		if row, err = r.queries.PerformanceSum(ctx, c, span); err != nil {
			return err
		}
		failed, err = r.queries.PerformanceErrors(ctx, c, db.PerformanceErrorsParams(span))
		return err
	})
	if err != nil {
		return Metrics{}, err
	}
	return sum.plus(stored(row, failed), 1).metrics(now.Sub(since)), nil
}

func stored(row db.PerformanceSumRow, failed []db.PerformanceErrorsRow) counts {
	micros := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	c := counts{
		queries: row.Queries, queryTime: micros(row.QueryMicros), slow: row.SlowQueries, acquires: row.Acquires,
		waited: micros(row.WaitMicros), busy: micros(row.BusyMicros), capacity: micros(row.CapacityMicros),
		hits: row.Hits, misses: row.Misses, evictions: row.Evictions, errors: make(map[result.Code]int64, len(failed)),
	}
	for _, f := range failed {
		c.errors[result.Code(f.Code)] = f.N
	}
	return c
}

// metrics are the figures of counts that were made in so long.
func (c counts) metrics(in time.Duration) (m Metrics) {
	m.Database.AvgQueryTime = c.queryTime / time.Duration(max(1, c.queries))
	m.Database.SlowQueries = c.slow
	m.Database.ConnectionPool.Utilization = ratio(float64(c.busy), float64(c.capacity))
	m.Database.ConnectionPool.WaitTime = c.waited / time.Duration(max(1, c.acquires))
	lookups := float64(c.hits + c.misses)
	m.Cache = CacheMetrics{ratio(float64(c.hits), lookups), ratio(float64(c.misses), lookups), ratio(float64(c.evictions), lookups)}
	m.Errors.Types = c.errors
	var failed int64
	for _, n := range c.errors {
		failed += n
	}
	m.Errors.Rate = ratio(float64(failed), in.Seconds())
	return m
}

// failures are those of both stores by code.
func (r *Repo) failures() map[result.Code]int64 {
	all := r.Primary.Meter.Failures()
	if n := r.Cache.Failures(); n > 0 {
		if all == nil {
			all = make(map[result.Code]int64, 1)
		}
		all[result.CacheError] += n
	}
	return all
}
