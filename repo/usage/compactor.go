package usage

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// compactEvery is the pause between compactions while records come in.
	compactEvery = 250 * time.Millisecond
	// sweepEvery finds what dead processes left pending, and trims requestIds.
	sweepEvery = 10 * time.Second
	// compactBatches bounds the batches of one statement, trimRows its rows.
	compactBatches = 1000
	trimRows       = 10_000
)

// compactor moves pending batches into the rollups. Any number of them may run,
// in any number of processes.
type compactor struct {
	repo   *Repo
	woken  chan struct{}
	stop   context.CancelFunc
	done   chan struct{}
	failed bool
}

func startCompactor(r *Repo) *compactor {
	ctx, stop := context.WithCancel(context.Background())
	c := &compactor{repo: r, woken: make(chan struct{}, 1), stop: stop, done: make(chan struct{})}
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

// compact moves everything that is pending now.
func (r *Repo) compact(ctx context.Context) error {
	for {
		var taken int64
		err := r.Primary.Retrying(0).Write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
			taken, err = r.queries.UsageCompact(ctx, tx, compactBatches)
			return err
		})
		if err != nil || taken < compactBatches {
			return err
		}
	}
}

// trimRequests forgets the requestIds that are older than the window.
func (r *Repo) trimRequests(ctx context.Context) error {
	before := r.now().UTC().Add(-r.RequestIDWindow).Truncate(24 * time.Hour)
	for {
		var trimmed int64
		err := r.Primary.Retrying(0).Write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
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
