package strategy_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// metered is a primary whose meter runs on a clock that stands until it is moved.
type metered struct {
	*strategy.Postgres

	mu    sync.Mutex
	now   time.Time
	looks int // at the clock
}

func (m *metered) clock() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	return m.now
}

func (m *metered) looked() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.looks
}

func (m *metered) move(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
}

func setupMeter(t *testing.T, conns int32) *metered {
	t.Helper()
	t.Parallel()
	m := &metered{now: time.Unix(1000, 0)}
	pc, err := pgxpool.ParseConfig(testdb.EmptyURL(t))
	require.NoError(t, err)
	pc.MaxConns, pc.ConnConfig.Tracer = conns, &strategy.Meter{Now: m.clock}
	pool, err := pgxpool.NewWithConfig(t.Context(), pc)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	m.Postgres = &strategy.Postgres{Pool: pool, OpTimeout: time.Minute, Meter: strategy.MeterOf(pool)}
	require.NotNil(t, m.Meter)
	return m
}

func (m *metered) exec(t *testing.T, sql string, args ...any) error {
	t.Helper()
	return m.Read(t.Context(), func(ctx context.Context, c db.DBTX) error {
		_, err := c.Exec(ctx, sql, args...)
		return err
	})
}

func TestQueriesByName(t *testing.T) {
	m := setupMeter(t, 2)
	for range 3 {
		require.NoError(t, m.exec(t, "-- name: First :exec\nSELECT 1"))
	}
	require.Error(t, m.exec(t, "-- name: Second :exec\nSELECT 1/$1::int", 0))
	for _, sql := range []string{
		"SELECT 1", "--  name: X :one\nSELECT 1", "-- name: " + strings.Repeat("x", 65) + " :one\nSELECT 1", "-- name:\nSELECT 1", "-- ping",
	} {
		require.NoError(t, m.exec(t, sql))
	}
	require.NoError(t, m.exec(t, "-- name: it's :one\nSELECT 'secret'"))
	require.NoError(t, m.Write(t.Context(), func(ctx context.Context, tx db.DBTX) error {
		_, err := tx.Exec(ctx, "-- name: First :exec\nSELECT 1")
		return err
	}))
	calls := map[string]int64{}
	for name, q := range m.Meter.Queries() {
		calls[name] = q.Calls
		require.Equal(t, m.clock(), q.Last)
	}
	require.Equal(t, map[string]int64{"First": 4, "Second": 1, strategy.OtherQueries: 1, strategy.CommitQuery: 1}, calls)
	require.EqualValues(t, 1, m.Meter.Queries()["Second"].Failed)
}

// The time counts until the last row was read, in each bucket of the histogram.
func TestQueryDurations(t *testing.T) {
	m := setupMeter(t, 1)
	bounds := strategy.DurationBounds()
	var total time.Duration
	for _, d := range append([]time.Duration{0, time.Hour}, bounds...) {
		total += d
		require.NoError(t, m.Read(t.Context(), func(ctx context.Context, c db.DBTX) error {
			rows, err := c.Query(ctx, "-- name: Rows :many\nSELECT generate_series(1, 2)")
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				m.move(d / 2)
			}
			return rows.Err()
		}))
	}
	q := m.Meter.Queries()["Rows"]
	require.Equal(t, total, q.Total)
	require.Equal(t, [17]int64{0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1, 8: 1, 9: 1, 10: 1, 11: 1, 12: 1, 13: 1, 14: 1, 15: 1, 16: 2}, q.Durations)
	require.EqualValues(t, 18, q.Calls)
	slow := int64(1) // the hour
	for _, b := range bounds {
		if b >= strategy.DefaultSlowQuery {
			slow++
		}
	}
	require.Equal(t, slow, q.Slow)
}

func TestNamesAreBounded(t *testing.T) {
	m := setupMeter(t, 1)
	for i := range 600 {
		require.NoError(t, m.exec(t, fmt.Sprintf("-- name: N%d :exec\nSELECT 1", i)))
	}
	all := m.Meter.Queries()
	require.Len(t, all, 501)
	require.EqualValues(t, 100, all[strategy.OtherQueries].Calls)
	require.EqualValues(t, 1, all["N499"].Calls)
}

// Connections in use times how long, those still in use included.
func TestPoolIsMeasured(t *testing.T) {
	m := setupMeter(t, 2)
	err := m.Read(t.Context(), func(ctx context.Context, _ db.DBTX) error {
		m.move(time.Second)
		return m.Read(ctx, func(ctx context.Context, _ db.DBTX) error {
			m.move(10 * time.Second)
			require.Equal(t, 21*time.Second, m.Meter.Pool().Busy)
			short, cancel := context.WithCancel(ctx)
			waiting, before := make(chan error), m.looked()
			go func() {
				waiting <- m.Read(short, func(context.Context, db.DBTX) error { return nil })
			}()
			require.Eventually(t, func() bool { return m.looked() > before }, time.Minute, time.Millisecond)
			m.move(time.Second)
			cancel()
			require.ErrorIs(t, <-waiting, context.Canceled)
			return nil
		})
	})
	require.NoError(t, err)
	m.move(time.Hour)
	require.Equal(t, strategy.PoolFigures{Acquires: 3, Waited: time.Second, Busy: 23 * time.Second}, m.Meter.Pool())
}

// What the database fails to do counts; what the library answers does not.
func TestFailures(t *testing.T) {
	m := setupMeter(t, 1)
	m.OpTimeout = time.Minute
	raise := func(state string) error {
		return m.exec(t, "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '"+state+"'; END $$")
	}
	require.Error(t, raise("40P01"))
	require.Error(t, raise("23505"))
	require.Error(t, raise("23505"))
	require.Error(t, raise("XX000"))
	answers := func(err error) func(context.Context, db.DBTX) error {
		return func(context.Context, db.DBTX) error { return err }
	}
	for _, own := range []error{result.Invalid("x", "y"), result.RecordNotFound, pgx.ErrNoRows, context.Canceled, fmt.Errorf("flow: %w", result.LimitExceeded)} {
		require.Error(t, m.Read(t.Context(), answers(own)))
		require.Error(t, m.Write(t.Context(), answers(own)))
		require.Error(t, m.Append(t.Context(), answers(own)))
		require.Error(t, m.Snapshot(t.Context(), answers(own)))
	}
	past, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	require.Error(t, m.Read(past, answers(nil)))
	require.Equal(t, map[result.Code]int64{
		result.TransactionConflict: 1, result.DuplicateKey: 2, result.Internal: 1, result.QueryTimeout: 1,
	}, m.Meter.Failures())
	m.Pool.Close()
	require.Error(t, m.Read(t.Context(), answers(nil)))
	require.EqualValues(t, 1, m.Meter.Failures()[result.ConnectionFailed])
}

func TestMeterOfAPool(t *testing.T) {
	t.Parallel()
	url := testdb.EmptyURL(t)
	meter := &strategy.Meter{}
	for _, c := range []struct {
		tracer pgx.QueryTracer
		want   *strategy.Meter
	}{{nil, nil}, {meter, meter}, {multitracer.New(other{}, meter), meter}, {multitracer.New(other{}), nil}, {other{}, nil}} {
		pc, err := pgxpool.ParseConfig(url)
		require.NoError(t, err)
		pc.ConnConfig.Tracer = c.tracer
		pool, err := pgxpool.NewWithConfig(t.Context(), pc)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		require.Equal(t, c.want, strategy.MeterOf(pool))
	}
	var none *strategy.Meter
	require.Empty(t, none.Queries())
	require.Empty(t, none.Failures())
	require.Zero(t, none.Pool())
}

type other struct{}

func (other) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (other) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// The hot path of a query that is known: no allocation beside pgx's own.
func BenchmarkMeter(b *testing.B) {
	url := testdb.EmptyURL(b)
	for name, tracer := range map[string]pgx.QueryTracer{"without": nil, "with": &strategy.Meter{}} {
		pc, err := pgx.ParseConfig(url)
		require.NoError(b, err)
		pc.Tracer = tracer
		conn, err := pgx.ConnectConfig(b.Context(), pc)
		require.NoError(b, err)
		b.Cleanup(func() { _ = conn.Close(context.Background()) })
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var n int
				require.NoError(b, conn.QueryRow(b.Context(), "-- name: One :one\nSELECT 1").Scan(&n))
			}
		})
		if m, ok := tracer.(*strategy.Meter); ok {
			b.Run("alone", func(b *testing.B) {
				ctx := b.Context()
				b.ReportAllocs()
				for b.Loop() {
					m.TraceQueryStart(ctx, conn, pgx.TraceQueryStartData{SQL: "-- name: One :one\nSELECT 1"})
					m.TraceQueryEnd(ctx, conn, pgx.TraceQueryEndData{})
				}
			})
		}
	}
}

// A transaction holds its connection until it has ended, in whichever way.
func TestConnectionsOfTransactionsAreMeasured(t *testing.T) {
	m := setupMeter(t, 1)
	for _, end := range []func(*strategy.Tx) error{
		func(tx *strategy.Tx) error { return tx.Commit(t.Context()) },
		func(tx *strategy.Tx) error { return tx.Rollback(t.Context()) },
	} {
		before := m.Meter.Pool().Busy
		tx, err := m.Begin(t.Context(), strategy.TxOptions{Timeout: time.Hour})
		require.NoError(t, err)
		m.move(time.Second)
		require.NoError(t, end(tx))
		m.move(time.Hour)
		require.Equal(t, before+time.Second, m.Meter.Pool().Busy)
	}
}
