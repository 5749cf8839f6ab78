package monitoring

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/strategy"
)

// started is when tests' clocks begin: in the middle of an hour.
var started = time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC)

const (
	conns = 2
	// each acquire and each query of a test takes so long on its clock.
	acquireTakes = 2 * time.Millisecond
	slow         = 200 * time.Millisecond
)

// clock stands until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

// TraceQueryStart lets the time pass that a test's query takes: its argument.
func (c *clock) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if len(q.Args) == 1 {
		if takes, ok := q.Args[0].(time.Duration); ok {
			c.move(takes)
		}
	}
	return ctx
}

func (*clock) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// process is a Repo on a clock of its own, which stores only when it is told to.
type process struct {
	*Repo
	clock *clock
}

// newProcess opens one. Only its own calls move its clock, so that what it measures
// is known.
func newProcess(ctx context.Context, url string, at time.Time) (*process, error) {
	p := &process{clock: &clock{at: at}}
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	meter := &strategy.Meter{Slow: slow, Now: p.clock.now}
	pc.MaxConns, pc.ConnConfig.Tracer = conns, multitracer.New(meter, p.clock)
	pc.PrepareConn = func(context.Context, *pgx.Conn) (bool, error) {
		p.clock.move(acquireTakes)
		return true, nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, err
	}
	primary := &strategy.Postgres{Pool: pool, OpTimeout: time.Minute, Meter: strategy.MeterOf(pool)}
	p.Repo = newRepo(Config{Primary: primary, Logger: slog.New(slog.DiscardHandler)}, p.clock.now)
	return p, nil
}

func (p *process) close(ctx context.Context) {
	p.Close(ctx)
	p.Primary.Pool.Close()
}

// query makes calls of a query that takes so long on the clock.
func (p *process) query(ctx context.Context, name string, takes time.Duration, calls int) error {
	for range calls {
		err := p.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) error {
			_, err := c.Exec(ctx, "-- name: "+name+" :exec\nSELECT $1::interval", takes)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// fail makes a call that fails with a SQLSTATE.
func (p *process) fail(ctx context.Context, state string) error {
	return p.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) error {
		_, err := c.Exec(ctx, "-- name: Failing :exec\nDO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '"+state+"'; END $$")
		return err
	})
}

// minutePasses ends a minute and stores it.
func (p *process) minutePasses(ctx context.Context) error {
	p.clock.set(p.now().Truncate(time.Minute).Add(time.Minute))
	p.samples.roll(p.now(), false)
	return p.store(ctx)
}

// bundle is a database of its own, processes on it, and a look at its tables.
type bundle struct {
	*testing.T
	*process

	url  string
	pool *pgxpool.Pool
}

func setup(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	url := testdb.URL(t)
	b := &bundle{T: t, url: url, pool: testdb.Pool(t, url)}
	b.process = b.open(url, started)
	return b
}

func (b *bundle) open(url string, at time.Time) *process {
	b.Helper()
	p, err := newProcess(b.Context(), url, at)
	require.NoError(b, err)
	b.Cleanup(func() { p.close(context.Background()) })
	return p
}

func (b *bundle) count(sql string, args ...any) (n int) {
	b.Helper()
	require.NoError(b, b.pool.QueryRow(b.Context(), sql, args...).Scan(&n))
	return n
}

func (b *bundle) figures(p *process, timeRange Range) Metrics {
	b.Helper()
	m, err := p.GetPerformanceMetrics(b.Context(), timeRange)
	require.NoError(b, err)
	return m
}
