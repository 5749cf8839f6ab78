package strategy_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// bundle is a primary behind a proxy, and a way past the proxy to look at what
// it wrote.
type bundle struct {
	*strategy.Postgres

	t      *testing.T
	proxy  *faultproxy.Proxy
	direct *pgxpool.Pool
}

// setup gives a primary of at most two connections and three quick retries.
func setup(t *testing.T) bundle {
	t.Helper()
	databaseURL := testdb.EmptyURL(t)
	direct := testdb.Pool(t, databaseURL)
	_, err := direct.Exec(t.Context(), "CREATE TABLE written (value text)")
	require.NoError(t, err)
	proxy, through := faultproxy.Postgres(t, databaseURL)
	cfg, err := pgxpool.ParseConfig(through)
	require.NoError(t, err)
	cfg.MaxConns = 2
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	t.Cleanup(proxy.Cut) // a stalled connection would hold up Close
	return bundle{
		&strategy.Postgres{
			Pool: pool, OpTimeout: time.Minute,
			Retry: strategy.RetryPolicy{MaxRetries: 3, BaseDelay: time.Millisecond, MaxDelay: 2 * time.Millisecond},
		},
		t, proxy, direct,
	}
}

// insert gives a function that writes a value and counts how often it ran.
func insert(value string) (f func(context.Context, db.DBTX) error, runs *int) {
	runs = new(int)
	return func(ctx context.Context, c db.DBTX) error {
		*runs++
		_, err := c.Exec(ctx, "INSERT INTO written VALUES ($1)", value)
		return err
	}, runs
}

// rows counts what is committed.
func (b bundle) rows(value string) int {
	b.t.Helper()
	var n int
	err := b.direct.QueryRow(context.Background(), "SELECT count(*) FROM written WHERE value = $1", value).Scan(&n)
	require.NoError(b.t, err)
	return n
}

// becomes waits for a number of committed rows: a server may work on alone.
func (b bundle) becomes(value string, n int) {
	b.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for late := time.After(time.Minute); b.rows(value) != n; {
		select {
		case <-tick.C:
		case <-late:
			require.Equal(b.t, n, b.rows(value))
		}
	}
}

// terminate ends a connection from the server's side.
func (b bundle) terminate(pid uint32) {
	b.t.Helper()
	_, err := b.direct.Exec(b.t.Context(), "SELECT pg_terminate_backend($1, 60000)", int32(pid))
	require.NoError(b.t, err)
}

func pid(t *testing.T, c db.DBTX) uint32 {
	t.Helper()
	var pid uint32
	require.NoError(t, c.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid))
	return pid
}

// code is "" for a success.
func code(err error) result.Code {
	if err == nil {
		return ""
	}
	return result.From(err).Code
}

func unknown(err error) bool { return err != nil && result.From(err).Details["outcomeUnknown"] == true }
