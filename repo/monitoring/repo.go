package monitoring

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/strategy"
)

// Config is what a Repo stands on.
type Config struct {
	// Primary is where samples are stored; what its Meter counts is measured.
	Primary *strategy.Postgres
	// Cache is measured, too; it may be nil.
	Cache *cache.Cache
	// Sources are further figures of the process for [Repo.Process].
	Sources Sources
	// Logger takes one line when samples cannot be stored, and one when they can again.
	Logger *slog.Logger
	// Alerts is what the alerts stand on; the Repo adds its own figures to the Sources.
	Alerts AlertsConfig
}

// Repo is the contract's MonitoringInterface. It is safe for concurrent use.
type Repo struct {
	Config
	*Alerts

	queries *db.Queries
	samples *sampler
	now     func() time.Time

	stop context.CancelFunc
	work sync.WaitGroup
}

// New makes a Repo, whose background work Close ends.
func New(cfg Config) *Repo {
	r := newRepo(cfg, time.Now)
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.work.Go(func() { r.run(ctx) })
	cfg.Alerts.Sources = maps.Clone(cfg.Alerts.Sources)
	for metric := range performance {
		cfg.Alerts.Sources[metric] = r.measure
	}
	r.Alerts = NewAlerts(cfg.Alerts)
	return r
}

// newRepo makes one that stores nothing by itself.
func newRepo(cfg Config, now func() time.Time) *Repo {
	r := &Repo{Config: cfg, queries: db.New(), now: now, stop: func() {}}
	r.samples = newSampler(r)
	return r
}

// closeLimit bounds the last store: the figures of a minute are not worth more.
const closeLimit = time.Second

// Close ends the alerts' work here and stores what is counted and not stored yet, within ctx and a second. What
// cannot be stored is lost and no error: it is figures, not data.
func (r *Repo) Close(ctx context.Context) {
	if r.Alerts != nil { // newRepo's has none
		r.Alerts.Close(ctx)
	}
	r.stop()
	r.work.Wait()
	r.samples.roll(r.now(), true)
	ctx, cancel := context.WithTimeout(ctx, closeLimit)
	defer cancel()
	if r.store(ctx) != nil {
		r.Logger.Warn("relaystore: the last performance samples could not be stored")
	}
}
