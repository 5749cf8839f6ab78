package repo

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// execMode is pgx's name for how queries are sent, in a database URL.
const execMode = "default_query_exec_mode"

// lookForPooler makes the pool fit for what it leads through: behind a transaction
// pooler, the next statement may be another connection's, which has none of the
// prepared ones. Their descriptions hold on all of them.
func (c *Client) lookForPooler(ctx context.Context, cfg Config) error {
	found, err := pooled(ctx, c.pool)
	if err != nil || !found {
		return err
	}
	if cfg.MigrateURL() == cfg.DatabaseURL {
		cfg.Logger.Warn("relaystore: DATABASE_URL leads through a pooler and RELAYSTORE_DIRECT_URL is not set: changes by hand are noticed later, and migrations must not go this way")
	}
	if mode := c.pool.Config().ConnConfig.DefaultQueryExecMode; mode != pgx.QueryExecModeCacheStatement && mode != pgx.QueryExecModeDescribeExec {
		return nil
	}
	switch {
	case !c.ownsPool:
		return result.Invalid("Pool", "leads through a pooler, so its DefaultQueryExecMode must be QueryExecModeCacheDescribe")
	case strings.Contains(cfg.DatabaseURL, execMode):
		return nil // a pooler that knows prepared statements, says who has set it
	}
	fit := c.pool.Config()
	fit.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	c.pool.Close()
	c.pool, err = pgxpool.NewWithConfig(ctx, fit)
	return err
}

// pooled tells whether a pooler answers in the server's place: it has told another
// process id than the server has, since a cancellation must come to it.
func pooled(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	var pid uint32
	err = conn.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeExec).Scan(&pid)
	return pid != conn.Conn().PgConn().PID(), err
}
