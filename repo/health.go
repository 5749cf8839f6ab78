package repo

import (
	"context"
	"sync/atomic"

	"github.com/seed14a526e0/relaystore/repo/storage"
	"github.com/seed14a526e0/relaystore/strategy"
)

// Health is [storage.Repo.GetStorageHealth] for who has no Client, since Open fails while
// PostgreSQL does not answer. It makes its own connections, of which the pool's figures
// tell, and closes them. A wrong config is InvalidQuery with every contradiction named.
func Health(ctx context.Context, cfg Config) (h storage.Health, err error) {
	if err := cfg.Validate(); err != nil {
		return storage.Health{}, err
	}
	cfg = cfg.withDefaults()
	cfg.RequireRedis = false // that it does not answer is told
	c := &Client{}
	defer c.release()
	if err := c.makePool(ctx, cfg); err != nil {
		return storage.Health{}, unreachable(ctx, err)
	}
	if err := c.openRedis(ctx, cfg); err != nil {
		return storage.Health{}, err
	}
	storing := storage.Config{Primary: &strategy.Postgres{Pool: c.pool, OpTimeout: cfg.OpTimeout, Waiting: new(atomic.Int64)}, Cache: c.cache}
	if c.journal != nil {
		defer c.journal.Close(ctx)
		defer func() { _ = c.touches.Close(ctx) }()
		storing.Journal, storing.Touches = c.journal.Health, c.touches.Health
	}
	return storage.New(storing).GetStorageHealth(ctx)
}
