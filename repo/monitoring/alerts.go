package monitoring

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// Source gives a metric over the window that ends now; one that shows the moment has no
// use for the window. An error is that nobody knows now.
type Source func(ctx context.Context, metric string, window time.Duration) (float64, error)

// AlertsConfig is what Alerts stand on.
type AlertsConfig struct {
	Primary *strategy.Postgres
	// Sources are the metrics that can be measured; alerts with others are refused.
	Sources map[string]Source
	// Secret signs webhooks; without one, alerts with webhooks are refused and none is
	// delivered by this process.
	Secret []byte
	// PrivateWebhooks lets webhooks be at addresses that are not public.
	PrivateWebhooks bool
	// Logger takes one line a delivery that is given up.
	Logger *slog.Logger

	// Tests set what is a constant elsewhere; 0 is that constant.
	every, lease, firstDelay time.Duration
	attempts                 int32
}

// Alerts are the contract's setPerformanceAlert and what comes with it. They are safe
// for concurrent use.
type Alerts struct {
	AlertsConfig

	queries *db.Queries
	self    uuid.UUID
	client  *http.Client
	trimmed time.Time

	stop context.CancelFunc
	work sync.WaitGroup
}

// NewAlerts makes Alerts, whose background work Close ends.
func NewAlerts(cfg AlertsConfig) *Alerts {
	cfg.every, cfg.lease = cmp.Or(cfg.every, evaluateEvery), cmp.Or(cfg.lease, evaluatorLease)
	cfg.firstDelay, cfg.attempts = cmp.Or(cfg.firstDelay, firstDelay), cmp.Or(cfg.attempts, maxAttempts)
	a := &Alerts{AlertsConfig: cfg, queries: db.New(), self: uuid.New(), client: webhookClient(cfg.PrivateWebhooks)}
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	a.work.Go(func() { a.repeat(ctx, a.evaluate) })
	if len(a.Secret) > 0 {
		a.work.Go(func() { a.repeat(ctx, a.deliver) })
	}
	return a
}

// repeat runs f until ctx ends; what fails is done again, here or by another process.
func (a *Alerts) repeat(ctx context.Context, f func(context.Context) error) {
	tick := time.NewTicker(a.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = f(ctx)
		}
	}
}

// Close ends the background work and gives the lease back. A webhook that is being
// called is called again by another process, or the next one.
func (a *Alerts) Close(ctx context.Context) {
	a.stop()
	a.work.Wait()
	_ = a.leave(ctx) // else it ends by itself
}

func (a *Alerts) write(ctx context.Context, f func(context.Context, db.DBTX) error) error {
	return a.Primary.Retrying(0).Write(ctx, f)
}

// SetPerformanceAlert stores an alert, which is evaluated from then on; the same one
// again is no second one. Wrong input, a metric that this process does not measure
// included, is InvalidQuery and names the member; the 1,001st alert is LimitExceeded.
func (a *Alerts) SetPerformanceAlert(ctx context.Context, c AlertConfig) result.Status {
	if err := a.check(c); err != nil {
		return result.StatusOf(err)
	}
	return result.StatusOf(a.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) error { return a.set(ctx, tx, c) }))
}

func (a *Alerts) set(ctx context.Context, tx db.DBTX, c AlertConfig) error {
	ms := c.Duration.Milliseconds()
	added, err := a.queries.AlertSet(ctx, tx, db.AlertSetParams{
		ID: uuid.Must(uuid.NewV7()), Metric: c.Metric, Operator: string(c.Operator), Threshold: c.Threshold,
		DurationMs: ms, Webhook: c.Webhook, Most: maxAlerts,
	})
	if err != nil || added == 1 {
		return err
	}
	there, err := a.queries.AlertExists(ctx, tx, db.AlertExistsParams{
		Metric: c.Metric, Operator: string(c.Operator), Threshold: c.Threshold, DurationMs: ms, Webhook: c.Webhook,
	})
	if err == nil && !there {
		return result.New(result.LimitExceeded, "there are %d alerts already", maxAlerts)
	}
	return err
}

// ListPerformanceAlerts gives all alerts, oldest first, and where they stand; at most
// 1,000.
func (a *Alerts) ListPerformanceAlerts(ctx context.Context) result.Result[AlertList] {
	var rows []db.AlertListRow
	err := a.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		rows, err = a.queries.AlertList(ctx, c, maxAlerts)
		return err
	})
	list := AlertList{Alerts: make([]Alert, len(rows))}
	for i, r := range rows {
		list.Alerts[i] = Alert{
			ID: r.ID.String(), AlertConfig: storedAlert(r.Metric, r.Operator, r.Threshold, r.DurationMs, r.Webhook),
			State: AlertState(r.State), Since: r.Since, CreatedAt: r.CreatedAt, Waiting: r.Waiting, Failed: r.Failed,
		}
	}
	return result.Of(list, err)
}

func storedAlert(metric, operator string, threshold float64, ms int64, webhook string) AlertConfig {
	return AlertConfig{metric, threshold, Operator(operator), time.Duration(ms) * time.Millisecond, webhook}
}

// RemovePerformanceAlert removes an alert, with the deliveries that wait. An unknown one
// is RecordNotFound.
func (a *Alerts) RemovePerformanceAlert(ctx context.Context, id string) result.Status {
	parsed, err := result.ParseID("alertId", id)
	if err != nil {
		return result.StatusOf(err)
	}
	return result.StatusOf(a.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) error {
		n, err := a.queries.AlertRemove(ctx, tx, parsed)
		if err == nil && n == 0 {
			return result.RecordNotFound
		}
		return err
	}))
}
