package monitoring

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

func (b *bundle) stats(p *process, limit int) QueryStats {
	b.Helper()
	s, err := p.GetQueryStats(b.Context(), limit)
	require.NoError(b, err)
	return s
}

// calls are those of one query.
func (b *bundle) calls(p *process, name string) int64 {
	b.Helper()
	for _, q := range b.stats(p, MaxQueryLimit).FrequentQueries {
		if q.Query == name {
			return q.CallCount
		}
	}
	return 0
}

func TestQueriesOfTwoProcessesThatHaveEnded(t *testing.T) {
	b := setup(t)
	b.loads(2)
	s := b.stats(b.after(2*time.Minute), 2)
	// On its clock a process has made 10 Quick, then 5 Slow ones, each after 2 ms.
	lastSlow := started.Add(10*12*time.Millisecond + 5*302*time.Millisecond)
	lastQuick := started.Add(time.Minute + acquireTakes + 20*7*time.Millisecond)
	require.Equal(t, []SlowQuery{
		{Query: "Slow", AvgDuration: 300 * time.Millisecond, CallCount: 10, LastExecuted: lastSlow},
		{Query: "Quick", AvgDuration: 200 * time.Millisecond / 30, CallCount: 60, LastExecuted: lastQuick},
	}, s.SlowQueries)
	require.Equal(t, []FrequentQuery{
		{Query: "Quick", CallCount: 60, TotalDuration: 400 * time.Millisecond},
		{Query: "Slow", CallCount: 10, TotalDuration: 3 * time.Second},
	}, s.FrequentQueries)
	require.EqualValues(t, 6, b.calls(b.after(2*time.Minute), "Failing"), "a failed call is one")
	require.EqualValues(t, 60, b.calls(b.after(7*24*time.Hour), "Quick"))
	require.Zero(t, b.calls(b.after(7*24*time.Hour+time.Hour), "Quick"))
}

// Rows of queries begin anew with each hour, and none is counted in two.
func TestQueriesOverHours(t *testing.T) {
	b := setup(t)
	for h := range 4 {
		for range 3 {
			require.NoError(t, b.query(t.Context(), "Quick", time.Millisecond, 5))
			require.NoError(t, b.minutePasses(t.Context()))
		}
		require.Equal(t, h+1, b.count("SELECT count(*) FROM performance_queries WHERE name = 'Quick'"))
		b.clock.move(time.Hour)
	}
	require.NoError(t, b.query(t.Context(), "Quick", time.Millisecond, 1))
	require.EqualValues(t, 61, b.calls(b.process, "Quick"))
	require.EqualValues(t, 60, b.calls(b.open(b.url, b.now()), "Quick"))
}

func TestQueryLimits(t *testing.T) {
	b := setup(t)
	for i := range 12 {
		require.NoError(t, b.query(t.Context(), "Q"+string(rune('A'+i)), time.Duration(i+1)*time.Millisecond, 1))
	}
	for limit, want := range map[int]int{0: 10, 1: 1, 11: 11, 1000: 12} {
		p := b.stats(b.process, limit)
		require.GreaterOrEqual(t, len(p.SlowQueries), want, limit)
		require.LessOrEqual(t, len(p.SlowQueries), max(limit, 15), limit)
		require.Len(t, p.FrequentQueries, len(p.SlowQueries))
		require.Equal(t, "QL", p.SlowQueries[0].Query)
	}
	for _, limit := range []int{-1, 1001, 1 << 40} {
		_, err := b.GetQueryStats(t.Context(), limit)
		require.ErrorIs(t, err, result.InvalidQuery)
		require.Equal(t, "limit", result.From(err).Field())
	}
}

// Where the extension is installed, its figures are there; where it refuses, the
// answer is the same without them.
func TestStatementsOfTheServer(t *testing.T) {
	b := setup(t)
	require.NoError(t, b.query(t.Context(), "Quick", time.Millisecond, 7))
	require.Nil(t, b.stats(b.process, 1).FrequentQueries[0].Server)
	for _, sql := range []string{`CREATE SCHEMA "odd; --"`, `CREATE EXTENSION pg_stat_statements SCHEMA "odd; --"`} {
		_, err := b.pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	require.NoError(t, b.query(t.Context(), "Quick", time.Millisecond, 5))
	s := b.stats(b.process, 1)
	require.Equal(t, "Quick", s.FrequentQueries[0].Query)
	server := s.FrequentQueries[0].Server
	require.NotNil(t, server)
	require.EqualValues(t, 12, server.CallCount)
	require.Positive(t, server.AvgDuration)
	require.EqualValues(t, 12, server.Rows)
	doc, err := json.Marshal(s)
	require.NoError(t, err)
	require.Contains(t, string(doc), `"server":{"callCount":12,"avgDuration":`)
	require.NotContains(t, string(doc), "SELECT")

	_, err = b.pool.Exec(t.Context(), `ALTER VIEW "odd; --".pg_stat_statements RENAME TO gone`)
	require.NoError(t, err)
	before := len(b.Primary.Meter.Failures())
	require.Nil(t, b.stats(b.process, 1).FrequentQueries[0].Server)
	require.Len(t, b.Primary.Meter.Failures(), before, "a refusal is no error of the database")
}
