package strategy_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// shortly is a deadline that has to pass.
const shortly = 50 * time.Millisecond

// every runs all four ways to use a primary.
func every(t *testing.T, p *strategy.Postgres, check func(name string, err error)) {
	t.Helper()
	never := func(context.Context, db.DBTX) error { require.Fail(t, "it ran"); return nil }
	for name, use := range map[string]func(context.Context, func(context.Context, db.DBTX) error) error{
		"read": p.Read, "snapshot": p.Snapshot, "write": p.Write, "append": p.Append,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), shortly)
		check(name, use(ctx, never))
		cancel()
	}
}

func TestFullPool(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold(t, b.Pool)
	every(t, b.Postgres, func(name string, err error) {
		require.Equal(t, result.PoolExhausted, code(err), name)
		require.False(t, unknown(err), name)
	})
	b.OpTimeout = shortly // bounds a caller without a deadline
	require.ErrorIs(t, b.Read(t.Context(), one), result.PoolExhausted)
}

func TestUnreachableServer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.proxy.Close()
	every(t, b.Postgres, func(name string, err error) {
		require.Contains(t, []result.Code{result.ConnectionFailed, result.ConnectionTimeout}, result.From(err).Code, name)
		require.False(t, unknown(err), name)
	})
	require.Equal(t, result.ConnectionFailed, code(b.Read(t.Context(), one)))
}

func TestServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.proxy.Stall()
	every(t, b.Postgres, func(name string, err error) {
		require.Equal(t, result.ConnectionTimeout, code(err), name)
		require.False(t, unknown(err), name)
	})
}

// The connect timeout ends before the call's own deadline.
func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.proxy.Stall()
	cfg := b.Pool.Config()
	cfg.ConnConfig.ConnectTimeout = shortly
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	defer pool.Close()
	defer b.proxy.Cut()
	b.Pool = pool
	require.Equal(t, result.ConnectionTimeout, code(b.Read(t.Context(), one)))
}

func TestClosedPool(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Pool.Close()
	every(t, b.Postgres, func(name string, err error) {
		require.Equal(t, result.ConnectionFailed, code(err), name)
	})
}

// The pool is closed while it connects for a call: the caller has not cancelled.
func TestPoolIsClosedWhileItConnects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.proxy.Stall()
	failed := make(chan error, 1)
	go func() { failed <- b.Read(t.Context(), one) }()
	require.Eventually(t, func() bool { return b.Pool.Stat().ConstructingConns() == 1 }, time.Minute, time.Millisecond)
	b.Pool.Close()
	require.Equal(t, result.ConnectionFailed, code(<-failed))
}
