package bench

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

const (
	// MaxRecords is how many records [Stats] loads at most.
	MaxRecords = 100_000_000

	loadDays    = 365
	loadCallers = 4
	loadBatch   = 2_000
	statsConns  = 8
)

// halfHour is a zone whose days begin half an hour off UTC's hours.
const halfHour = "Asia/Kolkata"

// StatsOptions of [Stats].
type StatsOptions struct {
	// Records are loaded first, evenly over the 365 days before now.
	Records int
	// Cleanup measures CleanupOldStats of the older half, too.
	Cleanup bool
	// Progress, if set, hears how many of all records and cases are done.
	Progress func(done, total int)
}

// StatsReport is what [Stats] measured.
type StatsReport struct {
	Records int `json:"records"`
	// LoadPerSecond is how fast they were recorded.
	LoadPerSecond float64     `json:"loadPerSecond"`
	Cases         []StatsCase `json:"cases"`
	// Cleanup is measured when it is asked for.
	Cleanup *CleanupFigures `json:"cleanup,omitempty"`
}

// StatsCase is one question in one zone, asked of keys drawn like the records'.
type StatsCase struct {
	Name  string  `json:"name"`
	Zone  string  `json:"zone"`
	P50Ms float64 `json:"p50Ms"`
	P99Ms float64 `json:"p99Ms"`
	// ScanMs is the same answer summed from the records, for the most used key.
	ScanMs float64 `json:"scanMs"`
	// RowsRead is what the answer for that key reads, of all tables.
	RowsRead int64 `json:"rowsRead"`
}

// question is a case before it is measured.
type question struct {
	name        string
	days        int
	oneKey      bool
	granularity usage.Granularity
	times       int
	costs       bool // GetCostAnalysis by model
}

var questions = []question{
	{"key-30d-day", 30, true, usage.Day, 300, false},
	{"key-1y-month", loadDays, true, usage.Month, 200, false},
	{"all-1y-month", loadDays, false, usage.Month, 100, false},
	{"cost-90d-model", 90, false, usage.Day, 100, true},
}

// Stats measures GetUsageStats and GetCostAnalysis over a year of records.
func Stats(ctx context.Context, p Place, o StatsOptions) (rep StatsReport, err error) {
	if o.Records < 1 || o.Records > MaxRecords {
		return rep, result.Invalid("records", "must lie between 1 and %d", MaxRecords)
	}
	conn, err := pgx.Connect(ctx, p.DatabaseURL)
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	t, err := newTraffic(ctx, conn)
	if err != nil {
		return rep, err
	}
	lib, err := openSession(ctx, p, statsConns, nil)
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, lib.close(ctx)) }()
	single, err := openSession(ctx, p, 1, nil)
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, single.close(ctx)) }()
	s := &statsBench{lib: lib, single: single, conn: conn, traffic: t, options: o, now: time.Now().UTC().Truncate(time.Microsecond)}
	rep.Records = o.Records
	if rep.LoadPerSecond, err = s.load(ctx); err != nil {
		return rep, err
	}
	if rep.Cases, err = s.cases(ctx); err == nil && o.Cleanup {
		rep.Cleanup, err = s.cleanup(ctx)
	}
	return rep, err
}

type statsBench struct {
	lib, single *session
	conn        *pgx.Conn
	traffic     *traffic
	options     StatsOptions
	now         time.Time
	done        atomic.Int64
}

func (s *statsBench) progress(n int) {
	if s.options.Progress != nil {
		s.options.Progress(int(s.done.Add(int64(n))), s.options.Records+2*len(questions))
	}
}

// load records a year in the order of time, as it happened, and waits until the
// rollups have it.
func (s *statsBench) load(ctx context.Context) (float64, error) {
	begin := time.Now()
	var next atomic.Int64
	group, inner := errgroup.WithContext(ctx)
	for caller := range loadCallers {
		group.Go(func() error {
			stream := s.traffic.stream(caller)
			for {
				from := int(next.Add(loadBatch)) - loadBatch
				n := min(loadBatch, s.options.Records-from)
				if n <= 0 {
					return nil
				}
				if err := s.loadBatch(inner, stream, from, n); err != nil {
					return err
				}
				s.progress(n)
			}
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	rate := float64(s.options.Records) / time.Since(begin).Seconds()
	if err := compacted(ctx, s.conn); err != nil {
		return 0, err
	}
	_, err := s.conn.Exec(ctx, "VACUUM (ANALYZE)") // as autovacuum would have in a year
	return rounded(rate, 0), err
}

func (s *statsBench) loadBatch(ctx context.Context, stream *stream, from, n int) error {
	step := loadDays * 24 * time.Hour / time.Duration(s.options.Records)
	recs := make([]usage.Record, n)
	for i := range recs {
		recs[i] = stream.next()
		recs[i].Timestamp = s.now.AddDate(0, 0, -loadDays).Add(time.Duration(from+i) * step)
	}
	for _, status := range s.lib.Usage.RecordUsageBatch(ctx, recs) {
		if err := status.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (s *statsBench) cases(ctx context.Context) (cases []StatsCase, err error) {
	for _, q := range questions {
		for _, zone := range []string{"UTC", halfHour} {
			c, err := s.ask(ctx, q, zone)
			if err = errors.Join(ctx.Err(), err); err != nil {
				return nil, err
			}
			cases = append(cases, c)
			s.progress(1)
		}
	}
	return cases, nil
}

// query asks for whole days up to the last midnight in the zone.
func (q question) query(now time.Time, zone, key string) (usage.StatsQuery, error) {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return usage.StatsQuery{}, err
	}
	y, m, d := now.In(loc).Date()
	end := time.Date(y, m, d, 0, 0, 0, 0, loc)
	query := usage.StatsQuery{StartDate: end.AddDate(0, 0, -q.days), EndDate: end, Granularity: q.granularity, TimeZone: zone}
	if q.oneKey {
		query.APIKeyID = key
	}
	return query, nil
}

// ask puts the question to the library.
func (q question) ask(ctx context.Context, lib *session, query usage.StatsQuery) error {
	if !q.costs {
		return lib.Usage.GetUsageStats(ctx, query).Err()
	}
	return lib.Usage.GetCostAnalysis(ctx, usage.CostQuery{
		APIKeyID: query.APIKeyID, StartDate: query.StartDate, EndDate: query.EndDate, GroupBy: usage.ByModel, TimeZone: query.TimeZone,
	}).Err()
}

func (s *statsBench) ask(ctx context.Context, q question, zone string) (StatsCase, error) {
	c := StatsCase{Name: q.name, Zone: zone}
	keys := s.traffic.stream(baselineCaller)
	took, err := latencies(q.times, func(int) error {
		query, err := q.query(s.now, zone, keys.next().APIKeyID)
		if err != nil {
			return err
		}
		return q.ask(ctx, s.lib, query)
	})
	if err != nil {
		return c, err
	}
	c.P50Ms, c.P99Ms = rounded(percentile(took, 0.5)/1e6, 2), rounded(percentile(took, 0.99)/1e6, 2)
	query, err := q.query(s.now, zone, s.traffic.keys[0].id)
	if err != nil {
		return c, err
	}
	if c.RowsRead, err = s.rowsRead(ctx, q, query); err != nil {
		return c, err
	}
	c.ScanMs, err = s.scan(ctx, query)
	return c, err
}

const scanRecords = `SELECT date_trunc($4, occurred_at, $5), model, sum(requests), sum(input_tokens), sum(output_tokens),
	sum(cache_creation_tokens), sum(cache_read_tokens), sum(total_tokens), sum(cost)
FROM usage_records WHERE occurred_at >= $1 AND occurred_at < $2 AND ($3 = '' OR api_key_id::text = $3) GROUP BY 1, 2`

// scan is the median time of the same sums over the records.
func (s *statsBench) scan(ctx context.Context, q usage.StatsQuery) (float64, error) {
	took, err := latency(rounds, func(int) error {
		_, err := s.conn.Exec(ctx, scanRecords, q.StartDate, q.EndDate, q.APIKeyID, string(q.Granularity), q.TimeZone)
		return err
	})
	return rounded(took/1e6, 1), err
}

const rowsOfUsage = `SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint
FROM pg_stat_user_tables WHERE relname LIKE 'usage\_%'`

// rowsRead counts on the one connection of a session of its own; PostgreSQL tells
// what a connection has read when it is asked to.
func (s *statsBench) rowsRead(ctx context.Context, q question, query usage.StatsQuery) (int64, error) {
	count := func() (n int64, err error) {
		if _, err = s.single.pool.Exec(ctx, "SELECT pg_stat_force_next_flush()"); err != nil {
			return 0, err
		}
		return n, s.single.pool.QueryRow(ctx, rowsOfUsage).Scan(&n)
	}
	before, err := count()
	if err != nil {
		return 0, err
	}
	if err := q.ask(ctx, s.single, query); err != nil {
		return 0, err
	}
	after, err := count()
	return after - before, err
}
