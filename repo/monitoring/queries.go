package monitoring

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

const (
	// DefaultQueryLimit is the contract's.
	DefaultQueryLimit = 10
	// MaxQueryLimit is how many queries one call gives at most.
	MaxQueryLimit = 1000
	// queriesReach is how far back the queries are counted.
	queriesReach = 7 * 24 * time.Hour
	// maxNames is more than the names of all processes and versions.
	maxNames = 10_000
)

// GetQueryStats gives the queries of the last seven days by name, over all processes:
// up to limit of those with the longest averages, and of those with the most calls;
// 0 means 10. A limit below 0 or over 1,000 is InvalidQuery. The asked process counts
// up to now, others up to their last minute. Where the extension pg_stat_statements is
// installed in the database, and its user may read it, the queries carry what it
// knows.
func (r *Repo) GetQueryStats(ctx context.Context, limit int) (QueryStats, error) {
	if limit == 0 {
		limit = DefaultQueryLimit
	}
	if limit < 1 || limit > MaxQueryLimit {
		return QueryStats{}, result.Invalid("limit", "must lie between 1 and %d", MaxQueryLimit)
	}
	all, err := r.queryTotals(ctx)
	if err != nil {
		return QueryStats{}, result.From(err)
	}
	stats := pick(all, limit)
	r.addServer(ctx, &stats)
	return stats, nil
}

// queryTotal is a query over all processes.
type queryTotal struct {
	name  string
	calls int64
	total time.Duration
	last  time.Time
}

func (q queryTotal) average() time.Duration { return q.total / time.Duration(q.calls) }

// queryTotals adds what this process has not stored to what all have. What it counted
// in this hour is whole in its memory, so its row does not count.
func (r *Repo) queryTotals(ctx context.Context) ([]queryTotal, error) {
	now := r.now()
	_, hour, counted := r.samples.toStore()
	own := queryRow(hour, counted)
	var rows []db.PerformanceQueriesRow
	err := r.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		rows, err = r.queries.PerformanceQueries(ctx, c, db.PerformanceQueriesParams{
			Since: now.UTC().Add(-queriesReach).Truncate(time.Hour), Until: now.Add(ahead), Without: []uuid.UUID{hour.id}, RowLimit: maxNames,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	sums := make(map[string]queryTotal, len(rows))
	add := func(name string, calls, micros int64, last time.Time) {
		q := sums[name]
		q.name, q.calls, q.total = name, q.calls+calls, q.total+time.Duration(micros)*time.Microsecond
		if last.After(q.last) {
			q.last = last
		}
		sums[name] = q
	}
	for _, row := range rows {
		add(row.Name, row.Calls, row.TotalMicros, row.LastExecuted)
	}
	for i, name := range own.Names {
		add(name, own.Calls[i], own.TotalMicros[i], own.LastExecuted[i])
	}
	all := make([]queryTotal, 0, len(sums))
	for _, q := range sums {
		all = append(all, q)
	}
	return all, nil
}

// pick gives the first ones by average and by calls, ties by name.
func pick(all []queryTotal, limit int) QueryStats {
	n := min(limit, len(all))
	stats := QueryStats{SlowQueries: make([]SlowQuery, n), FrequentQueries: make([]FrequentQuery, n)}
	slices.SortFunc(all, func(a, b queryTotal) int {
		return cmp.Or(cmp.Compare(b.average(), a.average()), strings.Compare(a.name, b.name))
	})
	for i, q := range all[:n] {
		stats.SlowQueries[i] = SlowQuery{Query: q.name, AvgDuration: q.average(), CallCount: q.calls, LastExecuted: q.last.UTC()}
	}
	slices.SortFunc(all, func(a, b queryTotal) int {
		return cmp.Or(cmp.Compare(b.calls, a.calls), strings.Compare(a.name, b.name))
	})
	for i, q := range all[:n] {
		stats.FrequentQueries[i] = FrequentQuery{Query: q.name, CallCount: q.calls, TotalDuration: q.total}
	}
	return stats
}

// commit has no text that pg_stat_statements would know by name.
func (s *QueryStats) names() []string {
	var names []string
	for _, q := range s.SlowQueries {
		names = append(names, q.Query)
	}
	for _, q := range s.FrequentQueries {
		names = append(names, q.Query)
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(n string) bool {
		return n == strategy.CommitQuery || n == strategy.OtherQueries
	})
}
