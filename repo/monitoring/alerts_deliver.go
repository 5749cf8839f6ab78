package monitoring

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed14a526e0/relaystore/db"
)

const (
	// firstDelay comes after the first attempt, and doubles up to longestDelay; up to a
	// half is added. It is longer than an attempt takes, so that no two run at once.
	firstDelay   = 10 * time.Second
	longestDelay = 10 * time.Minute
	// maxAttempts are made over 41 to 62 minutes.
	maxAttempts = 10
	// maxWaiting bounds an alert's deliveries that wait; the oldest go first.
	maxWaiting = 20
	// deliverRows are taken, and called, at once.
	deliverRows = 16

	finishedKept        = 24 * time.Hour
	deliveriesTrimEvery = 10 * time.Minute
	deliveriesTrimRows  = 10_000
)

// deliver calls the webhooks that are due. Taking a delivery commits its next attempt
// first.
func (a *Alerts) deliver(ctx context.Context) error {
	for {
		var due []db.AlertDeliveryTakeRow
		err := a.write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
			due, err = a.queries.AlertDeliveryTake(ctx, tx, db.AlertDeliveryTakeParams{
				FirstDelay: interval(a.firstDelay), LongestDelay: interval(longestDelay), Most: a.attempts, RowLimit: deliverRows,
			})
			return err
		})
		if err != nil {
			return err
		}
		var calls errgroup.Group
		for _, d := range due {
			calls.Go(func() error { return a.call(ctx, d) })
		}
		if err := calls.Wait(); err != nil || len(due) < deliverRows {
			return err
		}
	}
}

// call makes one attempt and notes how it ended.
func (a *Alerts) call(ctx context.Context, d db.AlertDeliveryTakeRow) error {
	failure := a.post(ctx, d)
	if ctx.Err() != nil {
		return ctx.Err() // the process closes: another one makes the attempt anew
	}
	givenUp := false
	err := a.write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
		if failure == "" {
			return a.queries.AlertDeliveryDone(ctx, tx, d.ID)
		}
		givenUp, err = a.queries.AlertDeliveryFail(ctx, tx, db.AlertDeliveryFailParams{ID: d.ID, Failure: failure, Most: a.attempts})
		return err
	})
	if err == nil && givenUp {
		a.Logger.Warn("relaystore: an alert could not be delivered", "alert", d.AlertID, "attempts", d.Attempts, "failure", failure)
	}
	return err
}

// tidy gives up what nobody has finished, and deletes what has ended long ago. The
// evaluator does it.
func (a *Alerts) tidy(ctx context.Context) error {
	if time.Since(a.trimmed) < deliveriesTrimEvery {
		return nil
	}
	err := a.write(ctx, func(ctx context.Context, tx db.DBTX) error {
		if err := a.queries.AlertDeliveryExpire(ctx, tx, a.attempts); err != nil {
			return err
		}
		_, err := a.queries.AlertDeliveryTrim(ctx, tx, db.AlertDeliveryTrimParams{Keeps: interval(finishedKept), RowLimit: deliveriesTrimRows})
		return err
	})
	if err == nil {
		a.trimmed = time.Now()
	}
	return err
}
