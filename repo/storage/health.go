package storage

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/schema"
)

const (
	// HealthTimeout is what GetStorageHealth answers within; probeTimeout leaves a rest
	// of it for a busy machine.
	HealthTimeout = time.Second
	probeTimeout  = 900 * time.Millisecond
	// poolTimeout is how long the pool is waited for: all its connections may be busy,
	// which says nothing of the server, so that another one is opened then.
	poolTimeout = 450 * time.Millisecond
)

// GetStorageHealth asks both servers at once, now, and answers within HealthTimeout
// whatever they do. One that does not answer is not connected, which is no error: that
// ctx has ended is the only one.
func (r *Repo) GetStorageHealth(ctx context.Context) (Health, error) {
	asking, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var h Health
	var journal, touches *JournalHealth
	var probes sync.WaitGroup
	probes.Go(func() { h.Postgres = r.postgres(asking) })
	probes.Go(func() { h.Redis = r.redis(asking) })
	probes.Go(func() { journal = journalHealth(asking, r.Journal) })
	probes.Go(func() { touches = journalHealth(asking, r.Touches) })
	probes.Wait()
	if err := ctx.Err(); err != nil {
		return Health{}, result.From(err)
	}
	h.Redis.Journal, h.Redis.Touches = journal, touches
	return h, nil
}

func (r *Repo) postgres(ctx context.Context) PostgresHealth {
	h := PostgresHealth{OutboxLag: cache.Unknown}
	begun := time.Now()
	pooled, cancel := context.WithTimeout(ctx, poolTimeout)
	err := r.Primary.Retrying(0).Read(pooled, func(ctx context.Context, c db.DBTX) error { return r.ask(ctx, c, &h) })
	cancel()
	if err != nil && !h.Connected {
		_ = r.askPastPool(ctx, &h)
	}
	if !h.Connected {
		h.Latency = time.Since(begun)
	}
	h.Pool = r.pool()
	return h
}

// askPastPool opens a connection of its own.
func (r *Repo) askPastPool(ctx context.Context, h *PostgresHealth) error {
	cfg := r.Primary.Pool.Config()
	if prepare := cfg.BeforeConnect; prepare != nil {
		if err := prepare(ctx, cfg.ConnConfig); err != nil {
			return err
		}
	}
	conn, err := pgx.ConnectConfig(ctx, cfg.ConnConfig)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return r.ask(ctx, conn, h)
}

// ask measures the first round trip; what the others tell may stay unknown.
func (r *Repo) ask(ctx context.Context, c db.DBTX, h *PostgresHealth) error {
	asked := time.Now()
	if _, err := c.Exec(ctx, "SELECT"); err != nil {
		return err
	}
	h.Latency, h.Connected = time.Since(asked), true
	state, err := r.queries.CacheOutboxState(ctx, c)
	if err != nil {
		return err
	}
	h.OutboxLag = max(state.Now.Sub(state.Oldest), 0)
	h.SchemaVersion, err = schema.Applied(ctx, c)
	return err
}

func (r *Repo) pool() PoolStatus {
	s := r.Primary.Pool.Stat()
	p := PoolStatus{Total: int(s.TotalConns()), Idle: int(s.IdleConns()), Max: int(s.MaxConns())}
	if r.Primary.Waiting != nil {
		p.Waiting = int(r.Primary.Waiting.Load())
	}
	return p
}

func (r *Repo) redis(ctx context.Context) RedisHealth {
	h := r.Cache.Health(ctx)
	return RedisHealth{
		Configured: r.Cache != nil, Connected: h.Connected, Latency: h.Latency, Memory: Memory{h.Used, h.Max},
		Persistence: h.Keeps, EvictionPolicy: h.Policy, HeartbeatAge: h.Heartbeat,
	}
}

func journalHealth(ctx context.Context, ask func(context.Context) (cache.JournalHealth, error)) *JournalHealth {
	if ask == nil {
		return nil
	}
	h, err := ask(ctx)
	if err != nil {
		return &JournalHealth{Length: cache.Unknown, Refused: cache.Unknown, Age: cache.Unknown}
	}
	return &JournalHealth{Appending: h.Appending, Length: h.Unflushed, Refused: h.Refused, Age: h.Oldest, Replicas: h.Replicas}
}
