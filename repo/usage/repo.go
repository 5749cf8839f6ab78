package usage

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/strategy"
)

// DefaultRequestIDWindow is how long a RequestID is remembered.
const DefaultRequestIDWindow = 35 * 24 * time.Hour

// Config is what a Repo stands on.
type Config struct {
	Primary *strategy.Postgres
	// Place tells whether a Redis is the primary instead; nil is never.
	Place *strategy.Place
	// Keys tells where API keys are, whose records a Redis primary looks for, and whose
	// names; nil is PostgreSQL.
	Keys *strategy.Place
	// Accounts is the same for accounts, whose names it is asked for.
	Accounts *strategy.Place
	// RequestIDWindow is how long a RequestID is remembered, in whole days
	// rounded up; 0 is DefaultRequestIDWindow.
	RequestIDWindow time.Duration
	// Rests, if set, has what a move to Redis adds to the counters there.
	Rests CounterRests
	// Journal takes records under write_behind and is closed with the Repo; nil
	// writes them through.
	Journal *cache.Journal
	// Logger takes one line a change of the compactor's state.
	Logger *slog.Logger
}

// Repo is the contract's UsageStatsInterface. It is safe for concurrent use.
type Repo struct {
	Config

	queries   *db.Queries
	months    months
	compactor *compactor
	writer    *writer
	keys      *knownKeys
	behind    *behind     // nil without a journal
	through   atomic.Bool // writes through although there is one
	beside    *semaphore.Weighted
	horizon   atomic.Pointer[time.Time] // the latest known; it only moves forward
	now       func() time.Time
}

// New makes a Repo, whose background work Close ends.
func New(cfg Config) *Repo {
	if cfg.RequestIDWindow == 0 {
		cfg.RequestIDWindow = DefaultRequestIDWindow
	}
	q := db.New()
	r := &Repo{Config: cfg, queries: q, months: months{queries: q}, beside: semaphore.NewWeighted(maxBeside), now: time.Now}
	r.keys = newKnownKeys(r)
	r.compactor = startCompactor(r)
	r.writer = newWriter(cfg.Primary.OpTimeout, func(batch []*waiting) { r.commitAll(r.writer, batch) })
	r.horizon.Store(&firstTime)
	if cfg.Journal != nil {
		r.behind = newBehind(r, cfg.Journal)
		cfg.Journal.Start(r.flush)
	}
	return r
}

// WriteBehind says whether the journal, where there is one, takes records from now on;
// what is in it is flushed either way.
func (r *Repo) WriteBehind(on bool) { r.through.Store(!on) }

// Close takes no more records, writes those whose callers wait, drains the journal,
// and ends the background work. What is not written when ctx ends is an error that
// says how many, in details.remaining too; their callers are told, and what remains
// in the journal is flushed by other processes. Batches that are still
// pending stay so: they count in every figure, and the next process compacts them.
func (r *Repo) Close(ctx context.Context) error {
	if r.Primary.InTx() {
		return nil // of a transaction's own client
	}
	var err error
	if r.behind != nil {
		err = r.behind.close(ctx)
	}
	err = errors.Join(err, r.writer.close(ctx))
	r.compactor.close()
	return err
}
