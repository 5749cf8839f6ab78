package usage

import (
	"context"
	"log/slog"
	"time"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/strategy"
)

// DefaultRequestIDWindow is how long a RequestID is remembered.
const DefaultRequestIDWindow = 35 * 24 * time.Hour

// Config is what a Repo stands on.
type Config struct {
	Primary *strategy.Postgres
	// RequestIDWindow is how long a RequestID is remembered, in whole days
	// rounded up; 0 is DefaultRequestIDWindow.
	RequestIDWindow time.Duration
	// Logger takes one line a change of the compactor's state.
	Logger *slog.Logger
}

// Repo is the contract's UsageStatsInterface. It is safe for concurrent use.
type Repo struct {
	Config

	queries   *db.Queries
	months    months
	compactor *compactor
	now       func() time.Time
}

// New makes a Repo, whose background work Close ends.
func New(cfg Config) *Repo {
	if cfg.RequestIDWindow == 0 {
		cfg.RequestIDWindow = DefaultRequestIDWindow
	}
	q := db.New()
	r := &Repo{Config: cfg, queries: q, months: months{queries: q}, now: time.Now}
	r.compactor = startCompactor(r)
	return r
}

// Close ends the background work. Batches that are still pending stay so: they
// count in every figure, and the next process compacts them.
func (r *Repo) Close(context.Context) error {
	if r.Primary.InTx() {
		return nil
	}
	r.compactor.close()
	return nil
}
