package bench

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/seed14a526e0/relaystore/repo/usage"
)

// load is callers that record through the library, and what is looked at
// meanwhile.
type load struct {
	lib     *session
	conn    *pgx.Conn
	traffic *traffic
	streams []*stream
	span    time.Duration

	// Of the last run, in milliseconds: each call, each read of stats, and the
	// age of the oldest record that was pending.
	took, reads []float64
	lag         float64
}

func newLoad(lib *session, conn *pgx.Conn, t *traffic, callers int, span time.Duration) *load {
	l := &load{lib: lib, conn: conn, traffic: t, span: span}
	for i := range callers {
		l.streams = append(l.streams, t.stream(i))
	}
	return l
}

// compactTimeout bounds the wait for the compactor.
const compactTimeout = 10 * time.Minute

// compacted waits until nothing is pending.
func compacted(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, compactTimeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var pending bool
		if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM usage_pending)").Scan(&pending); err != nil || !pending {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// notAllowed is the SQLSTATE of a lacking right (insufficient_privilege).
const notAllowed = "42501"

// calm waits until nothing is pending and, where it may, writes out what is dirty:
// what one measurement leaves behind is no load of the next one's.
func calm(ctx context.Context, conn *pgx.Conn) error {
	if err := compacted(ctx, conn); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "CHECKPOINT")
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == notAllowed {
		return nil
	}
	return err
}

// run records for the span and gives the records a second.
func (l *load) run(ctx context.Context) (float64, error) {
	l.took, l.reads, l.lag = nil, nil, 0
	group, ctx := errgroup.WithContext(ctx)
	recording, stop := context.WithCancel(ctx)
	group.Go(func() error { return l.watchLag(recording) })
	group.Go(func() error { return l.readStats(recording) })
	begin := time.Now()
	err := l.record(ctx, begin.Add(l.span))
	took := time.Since(begin)
	stop()
	if other := group.Wait(); err == nil {
		err = other
	}
	return float64(len(l.took)) / took.Seconds(), err
}

func (l *load) record(ctx context.Context, end time.Time) error {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range l.streams {
		group.Go(func() error {
			var took []float64
			for begin := time.Now(); begin.Before(end); {
				if err := l.lib.Usage.RecordUsage(ctx, s.next()).Err(); err != nil {
					s.sent--
					return err
				}
				now := time.Now()
				took = append(took, milliseconds(now.Sub(begin)))
				begin = now
			}
			mu.Lock()
			defer mu.Unlock()
			l.took = append(l.took, took...)
			return nil
		})
	}
	return group.Wait()
}

const oldestPending = "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(first_at)), 0)::float8 * 1000 FROM usage_pending"

// watchLag looks how old the oldest pending record is, until ctx ends.
func (l *load) watchLag(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var ms float64
		if err := l.conn.QueryRow(context.WithoutCancel(ctx), oldestPending).Scan(&ms); err != nil {
			return err
		}
		l.lag = max(l.lag, ms)
	}
}

// readStats asks for 30 days of a drawn key, ten times a second.
func (l *load) readStats(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for s := l.traffic.stream(-1); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		begin := time.Now()
		err := l.lib.Usage.GetUsageStats(context.WithoutCancel(ctx), usage.StatsQuery{
			APIKeyID: s.next().APIKeyID, StartDate: begin.AddDate(0, 0, -30), EndDate: begin.Add(time.Hour), Granularity: usage.Day,
		}).Err()
		if err != nil {
			return err
		}
		l.reads = append(l.reads, milliseconds(time.Since(begin)))
	}
}

// Of the load's records, whose input tokens are their caller and output tokens
// their number, how many differ, how many there are, and their size.
const auditQuery = `SELECT count(DISTINCT (input_tokens, output_tokens)), count(*),
	(SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('usage_records'))::bigint + pg_total_relation_size('usage_requests')
FROM usage_records r JOIN unnest($1::bigint[], $2::bigint[]) AS c(caller, sent)
	ON r.input_tokens = c.caller AND r.output_tokens BETWEEN 1 AND c.sent
WHERE r.requests = 1`

// audit compares what was acknowledged with what is stored.
func (l *load) audit(ctx context.Context, rep *RecordReport) error {
	var sent int64
	callers, numbers := make([]int64, len(l.streams)), make([]int64, len(l.streams))
	for i, s := range l.streams {
		callers[i], numbers[i] = s.caller, s.sent
		sent += s.sent
	}
	var distinct, stored, bytes, all int64
	if err := l.conn.QueryRow(ctx, auditQuery, callers, numbers).Scan(&distinct, &stored, &bytes); err != nil {
		return err
	}
	if err := l.conn.QueryRow(ctx, "SELECT count(*) FROM usage_records").Scan(&all); err != nil {
		return err
	}
	rss, err := resident()
	rep.Lost, rep.Duplicated = sent-distinct, stored-distinct
	rep.BytesPerRecord, rep.RSSMiB = rounded(float64(bytes)/float64(all), 1), rounded(rss/mebi, 1)
	return err
}
