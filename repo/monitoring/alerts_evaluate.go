package monitoring

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"golang.org/x/sync/errgroup"

	"github.com/seed14a526e0/relaystore/db"
)

const (
	evaluateEvery = time.Second
	// evaluatorLease is how long after its death a process still counts as the evaluator.
	evaluatorLease = 5 * time.Second
	// evaluatorGap is how long alerts may go without an evaluator; after a longer time,
	// nobody knows what has held meanwhile, and durations begin anew.
	evaluatorGap = 30 * time.Second
	// alertWindow is what metrics are measured over that need a window.
	alertWindow = time.Minute
	// measureTimeout leaves the rest of the lease to the database.
	measureTimeout = 1500 * time.Millisecond
)

// evaluate is one round of the process that has the lease; the others' finds none.
func (a *Alerts) evaluate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, a.lease)
	defer cancel()
	var lease db.AlertLeaseRow
	err := a.write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
		lease, err = a.queries.AlertLease(ctx, tx, db.AlertLeaseParams{Holder: a.self, Lease: interval(a.lease)})
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(a.round(ctx, lease), a.tidy(ctx))
}

func (a *Alerts) round(ctx context.Context, lease db.AlertLeaseRow) error {
	var alerts []db.AlertStatesRow
	err := a.Primary.Retrying(0).Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		alerts, err = a.queries.AlertStates(ctx, c, maxAlerts)
		return err
	})
	if err != nil {
		return err
	}
	figures := a.measure(ctx, alerts)
	var errs []error
	blind := false
	for _, row := range alerts {
		blind = blind || a.Sources[row.Metric] == nil
		was := standing{AlertState(row.State), row.Since}
		if lease.Now.Sub(lease.Before) > evaluatorGap {
			was = was.unwatched(lease.Now)
		}
		c := storedAlert(row.Metric, row.Operator, row.Threshold, row.DurationMs, row.Webhook)
		value, known := figures[row.Metric]
		next := was.next(c, value, known, lease.Now)
		if next.AlertState != AlertState(row.State) || !next.since.Equal(row.Since) {
			errs = append(errs, a.change(ctx, row, next, AlertEvent{row.ID.String(), c, next.AlertState, value, next.since}))
		}
	}
	if blind { // one that measures them all keeps the lease, once it has it
		errs = append(errs, a.leave(ctx))
	}
	return errors.Join(errs...)
}

// leave gives the lease back, where this process has it.
func (a *Alerts) leave(ctx context.Context) error {
	return a.write(ctx, func(ctx context.Context, tx db.DBTX) error { return a.queries.AlertLeaseEnd(ctx, tx, a.self) })
}

// measure gives the figures of the metrics that alerts have; one that is missing is not
// known now.
func (a *Alerts) measure(ctx context.Context, alerts []db.AlertStatesRow) map[string]float64 {
	ctx, cancel := context.WithTimeout(ctx, measureTimeout)
	defer cancel()
	asked := make(map[string]bool)
	figures := make(map[string]float64)
	var mu sync.Mutex
	var g errgroup.Group
	for _, row := range alerts {
		source := a.Sources[row.Metric]
		if source == nil || asked[row.Metric] {
			continue
		}
		asked[row.Metric] = true
		g.Go(func() error {
			if v, err := source(ctx, row.Metric, alertWindow); err == nil {
				mu.Lock()
				defer mu.Unlock()
				figures[row.Metric] = v
			}
			return nil
		})
	}
	_ = g.Wait()
	return figures
}

// change stores where an alert stands, and in the same transaction what its webhook
// hears of it. Where somebody else has changed it, or has the lease, it does nothing.
func (a *Alerts) change(ctx context.Context, was db.AlertStatesRow, next standing, event AlertEvent) error {
	body, err := json.Marshal(event)
	if err != nil {
		return err
	}
	told := was.Webhook != "" && (next.AlertState == AlertFiring) != (AlertState(was.State) == AlertFiring)
	return a.write(ctx, func(ctx context.Context, tx db.DBTX) error {
		n, err := a.queries.AlertChange(ctx, tx, db.AlertChangeParams{
			ID: was.ID, State: string(next.AlertState), Since: next.since, StateBefore: was.State, SinceBefore: was.Since, Holder: a.self,
		})
		if err != nil || n == 0 || !told {
			return err
		}
		err = a.queries.AlertDeliveryAdd(ctx, tx, db.AlertDeliveryAddParams{ID: uuid.Must(uuid.NewV7()), AlertID: was.ID, Body: string(body)})
		if err != nil {
			return err
		}
		return a.queries.AlertDeliverySupersede(ctx, tx, db.AlertDeliverySupersedeParams{AlertID: was.ID, Waiting: maxWaiting})
	})
}

func interval(d time.Duration) pgtype.Interval {
	return pgtype.Interval{Microseconds: d.Microseconds(), Valid: true}
}
