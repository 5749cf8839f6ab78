package monitoring

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Two processes have had the load of playLoad and ended: each 10·10 ms + 5·300 ms +
// 20·5 ms in 35 queries, 3 that failed in no time, and 4 of storing; 39 acquires of
// 2 ms; 1.7 s of the 2·120 s of its connections.
func TestMetricsOfTwoProcessesThatHaveEnded(t *testing.T) {
	b := setup(t)
	b.loads(2)
	want := Metrics{
		Database: DatabaseMetrics{
			AvgQueryTime: 3400 * time.Millisecond / 84, SlowQueries: 10,
			ConnectionPool: PoolMetrics{Utilization: ratio(3.4, 480-0.004), WaitTime: acquireTakes},
		},
		Errors: ErrorMetrics{
			Rate:  ratio(6, (5 * time.Minute).Seconds()),
			Types: map[result.Code]int64{result.TransactionConflict: 4, result.QueryTimeout: 2},
		},
	}
	require.Equal(t, want, b.figures(b.after(2*time.Minute), Range5m))
	for timeRange, seconds := range map[Range]float64{Range1h: 3600, "": 3600, Range24h: 86400, Range7d: 7 * 86400} {
		want.Errors.Rate = ratio(6, seconds)
		require.Equal(t, want, b.figures(b.after(2*time.Minute), timeRange), timeRange)
	}
	require.Equal(t, 4, b.count("SELECT count(*) FROM performance_samples"), "a row a process and minute")
}

// A range has the minutes that it touches, and nothing older.
func TestRangesEnd(t *testing.T) {
	b := setup(t)
	b.loads(1)
	for _, c := range []struct {
		after  time.Duration
		slow   int64
		failed int64 // both are in the first minute
	}{
		{5*time.Minute + 59*time.Second, 5, 3}, {6 * time.Minute, 0, 0}, {7 * time.Minute, 0, 0},
	} {
		m := b.figures(b.after(c.after), Range5m)
		require.Equal(t, c.slow, m.Database.SlowQueries, c.after)
		var failed int64
		for _, n := range m.Errors.Types {
			failed += n
		}
		require.Equal(t, c.failed, failed, c.after)
	}
	require.Positive(t, b.figures(b.after(6*time.Minute), Range5m).Database.AvgQueryTime, "the second minute is still in it")
	require.Zero(t, b.figures(b.after(7*time.Minute), Range5m).Database.AvgQueryTime)
	require.EqualValues(t, 5, b.figures(b.after(7*24*time.Hour), Range7d).Database.SlowQueries)
	require.Zero(t, b.figures(b.after(7*24*time.Hour+time.Minute), Range7d).Database.SlowQueries)
}

func TestNothingCountedIsZero(t *testing.T) {
	b := setup(t)
	require.Equal(t, Metrics{Errors: ErrorMetrics{Types: map[result.Code]int64{}}}, b.figures(b.process, Range5m))
}

func TestOtherRangesAreRefused(t *testing.T) {
	b := setup(t)
	for _, timeRange := range []Range{"6m", "5M", " 5m", "1h\x00", "7d; DROP TABLE api_keys", "0", "8d"} {
		_, err := b.GetPerformanceMetrics(t.Context(), timeRange)
		require.ErrorIs(t, err, result.InvalidQuery, timeRange)
		require.Equal(t, "timeRange", result.From(err).Field())
	}
}

// The process that is asked counts what it has not stored, and counts it once when it
// stores it meanwhile.
func TestWhatIsBeingStoredCountsOnce(t *testing.T) {
	b := setup(t)
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			b.samples.roll(b.now(), true)
			if err := b.store(t.Context()); err != nil {
				stopped <- err
				return
			}
		}
	}()
	for n := 1; n <= 60; n++ {
		require.Error(t, b.fail(t.Context(), "40001"))
		require.EqualValues(t, n, b.figures(b.process, Range1h).Errors.Types[result.TransactionConflict])
		require.EqualValues(t, n, b.calls(b.process, "Failing"))
	}
	close(stop)
	require.NoError(t, <-stopped)
	require.EqualValues(t, 60, b.figures(b.process, Range1h).Errors.Types[result.TransactionConflict])
}

// A row whose commit was not acknowledged is stored again, and counts once.
func TestARepeatedStoreCountsOnce(t *testing.T) {
	b := setup(t)
	require.NoError(t, b.query(t.Context(), "Slow", slow, 3))
	b.samples.roll(b.now(), true)
	done, _, _ := b.samples.toStore()
	require.NoError(t, b.store(t.Context()))
	b.samples.mu.Lock()
	b.samples.unstored = append(b.samples.unstored, done...)
	b.samples.mu.Unlock()
	require.EqualValues(t, 3, b.figures(b.process, Range1h).Database.SlowQueries, "not stored, as far as it knows")
	require.NoError(t, b.store(t.Context()))
	require.EqualValues(t, 3, b.figures(b.process, Range1h).Database.SlowQueries)
	require.EqualValues(t, 3, b.figures(b.after(time.Minute), Range1h).Database.SlowQueries)
	require.EqualValues(t, 3, b.calls(b.after(time.Minute), "Slow"))
}

// While PostgreSQL is down minutes wait, each under its own time; the oldest go when
// there are too many.
func TestMinutesWaitForPostgres(t *testing.T) {
	b := setup(t)
	proxy, url := faultproxy.Postgres(t, b.url)
	p := b.open(url, started)
	require.NoError(t, p.query(t.Context(), "Slow", slow, 2))
	proxy.Cut()
	require.Error(t, p.minutePasses(t.Context()))
	for range 3 {
		require.Error(t, p.minutePasses(t.Context()))
	}
	waiting, _ := p.samples.own(started, p.now())
	require.EqualValues(t, 2, waiting.slow)
	waiting, _ = p.samples.own(started.Add(time.Minute), p.now())
	require.Zero(t, waiting.slow, "they were before the range")
	proxy.Pass()
	require.NoError(t, p.minutePasses(t.Context()))
	require.Equal(t, 5, b.count("SELECT count(*) FROM performance_samples"))
	require.Equal(t, 2, b.count("SELECT slow_queries FROM performance_samples WHERE minute = $1", started))
	require.Equal(t, 4, b.count("SELECT sum(error_counts[1]) FROM performance_samples WHERE error_codes = '{DB_CONNECTION_FAILED}'"))
	for range maxUnstored + 10 {
		p.samples.roll(p.now(), true)
	}
	require.Len(t, p.samples.unstored, maxUnstored)
}

func TestTrimDropsWhatIsOldOrOfAWrongClock(t *testing.T) {
	b := setup(t)
	_, err := b.pool.Exec(t.Context(), `INSERT INTO performance_samples
		SELECT $1::timestamptz + age * interval '1 minute', gen_random_uuid(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '{}', '{}'
		FROM (SELECT generate_series(-14020, -11521) UNION ALL SELECT unnest('{-11520,-1,0,60,61,5000}'::int[])) ages(age)`, started)
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), `INSERT INTO performance_queries
		SELECT $1::timestamptz + age * interval '1 hour', gen_random_uuid(), 'Q', 1, 1, $1
		FROM (SELECT generate_series(-1500, -193) UNION ALL SELECT unnest('{-192,0,1,2}'::int[])) ages(age)`, started)
	require.NoError(t, err)
	require.NoError(t, b.trim(t.Context()))
	require.Equal(t, 4, b.count("SELECT count(*) FROM performance_samples"))
	require.Equal(t, 3, b.count("SELECT count(*) FROM performance_queries"))
}
