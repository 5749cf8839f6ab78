package bench

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Bounds of RecordOptions.
const (
	MaxCallers     = 10_000
	MaxSeconds     = 3_600
	MaxConnections = 1_000
)

// RecordOptions of [Record].
type RecordOptions struct {
	// Callers record at the same time, each one after the other.
	Callers int
	// Seconds is how long they do in each round; a baseline takes a third of it.
	Seconds int
	// Connections bounds the library's; 0 is its default.
	Connections int
	// Progress, if set, hears how many of all steps are done.
	Progress func(done, total int)
}

// RecordReport is what [Record] measured: medians of three rounds, except for
// sums and bounds over all of them.
type RecordReport struct {
	Callers int `json:"callers"`
	// RSSMiB is this process's memory at the end.
	RSSMiB float64 `json:"rssMiB"`
	// BytesPerRecord is what a record takes on disk, its registry entry and all
	// indexes included.
	BytesPerRecord float64 `json:"bytesPerRecord"`
	// CompactorLagMs is the oldest that a pending record was seen to be.
	CompactorLagMs float64 `json:"compactorLagMs"`
	// StatsP99Ms is of one key's 30 days, asked for meanwhile.
	StatsP99Ms float64 `json:"statsP99Ms"`

	RecordsPerSecond float64 `json:"recordsPerSecond"`
	P50Ms            float64 `json:"p50Ms"`
	P99Ms            float64 `json:"p99Ms"`

	// The baselines: single-row INSERTs into the bare ledger on 64 connections and
	// on one, 1,000 rows a statement on 4, and the library's own statement in
	// batches of 256.
	InsertPerSecond    float64 `json:"insertPerSecond"`
	InsertP50Ms        float64 `json:"insertP50Ms"`
	UnnestPerSecond    float64 `json:"unnestPerSecond"`
	StatementPerSecond float64 `json:"statementPerSecond"`

	// Lost were acknowledged and are not in the ledger, Duplicated are there twice.
	Lost       int64 `json:"lost"`
	Duplicated int64 `json:"duplicated"`
}

func (o RecordOptions) check() error {
	switch {
	case o.Callers < 1 || o.Callers > MaxCallers:
		return result.Invalid("callers", "must lie between 1 and %d", MaxCallers)
	case o.Seconds < 1 || o.Seconds > MaxSeconds:
		return result.Invalid("seconds", "must lie between 1 and %d", MaxSeconds)
	case o.Connections < 0 || o.Connections > MaxConnections:
		return result.Invalid("connections", "must lie between 0 and %d", MaxConnections)
	}
	return nil
}

// Record measures RecordUsage beside what PostgreSQL does by itself.
func Record(ctx context.Context, p Place, o RecordOptions) (rep RecordReport, err error) {
	if err := o.check(); err != nil {
		return rep, err
	}
	if o.Connections == 0 {
		o.Connections = repo.DefaultMaxConns
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
	span := time.Duration(o.Seconds) * time.Second
	b, err := openBare(ctx, p, t, max(span/3, time.Second))
	if err != nil {
		return rep, err
	}
	defer b.pool.Close()
	lib, err := openSession(ctx, p, int32(o.Connections), nil) //nolint:gosec // checked
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, lib.close(ctx)) }()
	load := newLoad(lib, conn, t, o.Callers, span)
	rep.Callers = o.Callers
	if err := rep.measure(ctx, o, b, load); err != nil {
		return rep, err
	}
	return rep, load.audit(ctx, &rep)
}

func (r *RecordReport) measure(ctx context.Context, o RecordOptions, b *bare, l *load) error {
	var p50, p99, lag, stats float64
	rate := func(ctx context.Context) (x float64, err error) {
		x, err = l.run(ctx)
		p50, p99 = percentile(l.took, 0.5), percentile(l.took, 0.99)
		lag, stats = max(lag, l.lag), max(stats, percentile(l.reads, 0.99))
		return x, err
	}
	calmed := func(once func(context.Context) (float64, error)) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			if err := calm(ctx, l.conn); err != nil {
				return 0, err
			}
			return once(ctx)
		}
	}
	all := []measurement{
		{&r.InsertPerSecond, 0, calmed(b.insertPerSecond)},
		{&r.InsertP50Ms, 3, calmed(b.insertP50Ms)},
		{&r.UnnestPerSecond, 0, calmed(b.unnestPerSecond)},
		{&r.StatementPerSecond, 0, calmed(b.statementPerSecond)},
		{&r.RecordsPerSecond, 0, calmed(rate)},
		{&r.P50Ms, 3, func(context.Context) (float64, error) { return p50, nil }},
		{&r.P99Ms, 3, func(context.Context) (float64, error) { return p99, nil }},
	}
	err := medians(ctx, all, o.Progress)
	r.CompactorLagMs, r.StatsP99Ms = rounded(lag, 0), rounded(stats, 2)
	return err
}
