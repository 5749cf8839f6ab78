package monitoring

import (
	"context"
	"time"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/strategy"
)

// Sources are figures of a process that its other parts count. A nil one is left out.
type Sources struct {
	// Consistency is the meter that compares cached answers with PostgreSQL.
	Consistency func() cache.Consistency
	// Batches are the group commits of usage.
	Batches func() usage.Batches
	// Journal is what usage waits in under write_behind, Touches what the other data types
	// delay.
	Journal, Touches func(context.Context) (cache.JournalHealth, error)
	// TouchesDropped counts those that were about nothing any more.
	TouchesDropped func() int64
}

// Process is what one process knows now, counted since it was opened: what exporters
// of metrics read, see package metrics. Nil members are unknown.
type Process struct {
	// Queries are by name.
	Queries map[string]strategy.QueryFigures
	Pool    strategy.PoolFigures
	// Conns are open connections, Idle those that are free, MaxConns is their bound.
	Conns, Idle, MaxConns int
	// Failures are those of PostgreSQL and Redis by code.
	Failures map[result.Code]int64
	// Cache is nil without Redis.
	Cache *CacheProcess
	// Consistency is zero where nothing is compared.
	Consistency cache.Consistency
	Batches     usage.Batches
	// Journal is nil under write_through, and where its Redis does not answer, and so is
	// Touches, the journal of the other data types.
	Journal, Touches *cache.JournalHealth
	// TouchesDropped counts the touches that this process has flushed and that were about
	// nothing any more: a deleted account, a session that has ended.
	TouchesDropped int64
	// Outbox is nil where PostgreSQL does not answer.
	Outbox *Outbox
}

// CacheProcess is the cache of one process.
type CacheProcess struct {
	// Kinds are its look-ups by the kind of records.
	Kinds map[string]cache.Counters
	// Fresh tells whether it answers now, Off whether Redis is not asked.
	Fresh, Off bool
	// Age is how old an answer may be; of no meaning until the cache was fresh once,
	// when it is negative.
	Age time.Duration
}

// Outbox is what Redis is to be told, by all processes.
type Outbox struct {
	// Waiting are the changes, counted up to 10,000.
	Waiting int64
	// Oldest is since when the first of them waits, 0 without one.
	Oldest time.Duration
}

const (
	processLimit  = time.Second
	outboxCounted = 10_000
	// neverFresh is longer than any process runs.
	neverFresh = 100 * 365 * 24 * time.Hour
)

// Process gives the figures of this process. It asks PostgreSQL for the outbox and
// Redis for the journals, for a second at most each, and leaves out what they do not
// tell.
func (r *Repo) Process(ctx context.Context) Process {
	stat := r.Primary.Pool.Stat()
	p := Process{
		Queries: r.Primary.Meter.Queries(), Pool: r.Primary.Meter.Pool(), Failures: r.failures(),
		Conns: int(stat.TotalConns()), Idle: int(stat.IdleConns()), MaxConns: int(stat.MaxConns()),
	}
	if c := r.Cache; c != nil {
		now := time.Now()
		p.Cache = &CacheProcess{Kinds: c.Counters(), Fresh: c.Fresh(now), Off: c.Off(), Age: c.Age(now)}
		if p.Cache.Age > neverFresh {
			p.Cache.Age = -1
		}
	}
	if r.Sources.Consistency != nil {
		p.Consistency = r.Sources.Consistency()
	}
	if r.Sources.Batches != nil {
		p.Batches = r.Sources.Batches()
	}
	ctx, cancel := context.WithTimeout(ctx, processLimit)
	defer cancel()
	p.Journal, p.Touches = asked(ctx, r.Sources.Journal), asked(ctx, r.Sources.Touches)
	if r.Sources.TouchesDropped != nil {
		p.TouchesDropped = r.Sources.TouchesDropped()
	}
	p.Outbox = r.outbox(ctx)
	return p
}

func asked(ctx context.Context, health func(context.Context) (cache.JournalHealth, error)) *cache.JournalHealth {
	if health == nil {
		return nil
	}
	h, err := health(ctx)
	if err != nil {
		return nil
	}
	return &h
}

func (r *Repo) outbox(ctx context.Context) *Outbox {
	var row db.CacheOutboxWaitingRow
	err := r.Primary.Retrying(0).Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		row, err = r.queries.CacheOutboxWaiting(ctx, c, outboxCounted)
		return err
	})
	if err != nil {
		return nil
	}
	return &Outbox{Waiting: row.Waiting, Oldest: time.Duration(row.OldestMicros) * time.Microsecond}
}
