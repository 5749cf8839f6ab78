package usage

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// compactEvery is the pause between compactions while records come in.
	compactEvery = 250 * time.Millisecond
	// sweepEvery finds what dead processes left pending, and trims requestIds.
	sweepEvery = 10 * time.Second
	// compactBatches bounds the batches of one statement, trimRows its rows.
	compactBatches = 512
	trimRows       = 10_000
	// compactLock is the advisory lock of whoever compacts; the number is ours alone.
	compactLock = 7_246_182_519_001
)

// compactor moves pending batches into the rollups. Any number of them may run, in
// any number of processes; one works at a time.
type compactor struct {
	repo   *Repo
	woken  chan struct{}
	stop   context.CancelFunc
	done   chan struct{}
	failed bool
	limit  atomic.Int32 // batches of the next statement
}

func startCompactor(r *Repo) *compactor {
	ctx, stop := context.WithCancel(context.Background())
	c := &compactor{repo: r, woken: make(chan struct{}, 1), stop: stop, done: make(chan struct{})}
	c.limit.Store(compactBatches)
	go c.run(ctx)
	return c
}

// wake tells that something is pending; it never blocks.
func (c *compactor) wake() {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

func (c *compactor) close() {
	c.stop()
	<-c.done
}

func (c *compactor) run(ctx context.Context) {
	defer close(c.done)
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.woken:
			c.report(c.repo.compact(ctx))
			pause(ctx, compactEvery)
		case <-sweep.C:
			c.report(c.repo.compact(ctx))
			c.report(c.repo.trimRequests(ctx))
		}
	}
}

// report logs a change between failing and working, once.
func (c *compactor) report(err error) {
	switch failed := err != nil; {
	case failed == c.failed:
	case failed && !errors.Is(err, context.Canceled):
		c.failed = true
		c.repo.Logger.Warn("relaystore: pending usage cannot be compacted, figures stay right but grow slower", slog.Any("error", result.From(err)))
	case !failed:
		c.failed = false
		c.repo.Logger.Info("relaystore: pending usage is compacted again")
	}
}

// compact moves everything that is pending now. Where another process is at it,
// that one does, and this one looks again soon. A statement that runs out of time
// is tried with half of the batches.
func (r *Repo) compact(ctx context.Context) error {
	c := r.compactor
	for again := true; ; {
		limit := c.limit.Load()
		row, err := r.compactSome(ctx, limit)
		switch {
		case foundLess(err) && again:
			again = false
		case err != nil && limit > 1 && errors.Is(result.From(err), result.QueryTimeout):
			c.limit.Store(limit / 2)
		case err != nil:
			return err
		case !row.Mine:
			c.wake()
			return nil
		case row.Taken < int64(limit):
			return nil
		default:
			c.limit.Store(min(2*limit, compactBatches))
		}
	}
}

// foundLess tells that a compaction did not find all records of its batches. Its
// next plan does.
func foundLess(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == divisionByZero
}

func (r *Repo) compactSome(ctx context.Context, batches int32) (row db.UsageCompactRow, err error) {
	err = r.Primary.Unfenced().Retrying(0).Write(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		if err = r.queries.UsageSettings(ctx, c); err != nil {
			return err
		}
		row, err = r.queries.UsageCompact(ctx, c, db.UsageCompactParams{Lock: compactLock, BatchLimit: batches})
		return err
	})
	return row, err
}

// trimRequests forgets the requestIds that are older than the window.
func (r *Repo) trimRequests(ctx context.Context) error {
	before := r.now().UTC().Add(-r.RequestIDWindow).Truncate(24 * time.Hour)
	for {
		var trimmed int64
		err := r.Primary.Unfenced().Retrying(0).Write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
			trimmed, err = r.queries.UsageRequestTrim(ctx, tx, db.UsageRequestTrimParams{Before: before, RowLimit: trimRows})
			return err
		})
		if err != nil || trimmed < trimRows {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
