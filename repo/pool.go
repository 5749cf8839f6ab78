package repo

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/schema"
	"github.com/seed14a526e0/relaystore/strategy"
)

// openPool connects within ConnectTimeout and looks at the schema.
func (c *Client) openPool(ctx context.Context, cfg Config) error {
	connecting, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	if err := c.makePool(connecting, cfg); err != nil {
		return unreachable(ctx, err)
	}
	if err := c.lookForPooler(connecting, cfg); err != nil {
		return unreachable(ctx, err)
	}
	err := schema.Check(connecting, c.pool)
	var state *schema.StateError
	if err != nil && !errors.As(err, &state) {
		return unreachable(ctx, err)
	}
	return err
}

// makePool needs no PostgreSQL that answers.
func (c *Client) makePool(ctx context.Context, cfg Config) (err error) {
	if c.pool = cfg.Pool; c.pool == nil {
		c.ownsPool = true
		c.pool, err = newPool(ctx, cfg)
	}
	return err
}

// unreachable makes every way of not answering ConnectionFailed, except that the
// caller gave up.
func unreachable(ctx context.Context, err error) error {
	e := result.From(err)
	switch e.Code {
	case result.Cancelled, result.ConnectionTimeout, result.QueryTimeout, result.Internal:
		if ctx.Err() == nil {
			return result.From(result.ConnectionFailed)
		}
	}
	return e
}

func newPool(ctx context.Context, cfg Config) (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig(cfg.DatabaseURL)
	if err != nil {
		return nil, err
	}
	pc.MaxConns = int32(cfg.MaxConns) //nolint:gosec // Validate bounds it
	pc.ConnConfig.ConnectTimeout = cfg.ConnectTimeout
	pc.ConnConfig.Tracer = tracer(cfg)
	pc.PingTimeout = cfg.OpTimeout                          // a half-open connection must not hold its caller
	pc.ConnConfig.RuntimeParams["client_encoding"] = "UTF8" // else it is the database's, and Go's text is taken for that
	if pc.ConnConfig.RuntimeParams["application_name"] == "" {
		pc.ConnConfig.RuntimeParams["application_name"] = "relaystore"
	}
	return pgxpool.NewWithConfig(ctx, pc)
}

func tracer(cfg Config) pgx.QueryTracer {
	meter := &strategy.Meter{Slow: cfg.SlowQuery}
	if cfg.Tracer == nil {
		return meter
	}
	return multitracer.New(meter, cfg.Tracer)
}
