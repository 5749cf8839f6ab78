package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/repo/monitoring"
	"github.com/seed14a526e0/relaystore/repo/storage"
)

// unknown stands for a figure that nobody knows.
const unknown = "?"

// took is a duration in a person's precision; a negative one is not known.
func took(d time.Duration) string {
	if d < 0 {
		return unknown
	}
	return d.Round(time.Microsecond).String()
}

func bytesOf(n int64) string {
	if n < 0 {
		return unknown
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// howMany is a number of things; a negative one is not known.
func howMany(n int64) string {
	if n < 0 {
		return unknown
	}
	return strconv.FormatInt(n, 10)
}

// memoryOf tells what is used, and of how much.
func memoryOf(m storage.Memory) string {
	switch {
	case m.Max < 0:
		return bytesOf(m.Used)
	case m.Max == 0:
		return bytesOf(m.Used) + ", no bound"
	}
	return bytesOf(m.Used) + ", of " + bytesOf(m.Max)
}

func answers(connected bool) string {
	if connected {
		return "answers"
	}
	return "DOES NOT ANSWER"
}

func printHealth(w io.Writer, h storage.Health) {
	pg := h.Postgres
	t := newTable(w, table.Row{"PostgreSQL", answers(pg.Connected)})
	t.AppendRows([]table.Row{
		{"latency", took(pg.Latency)},
		{"connections", fmt.Sprintf("%d of %d, %d idle, %d waiting", pg.Pool.Total, pg.Pool.Max, pg.Pool.Idle, pg.Pool.Waiting)},
		{"outbox lag", took(pg.OutboxLag)}, {"schema version", howMany(cmp.Or(pg.SchemaVersion, -1))},
	})
	t.Render()
	if !h.Redis.Configured {
		fmt.Fprintln(w, "No Redis is configured.")
		return
	}
	r := h.Redis
	t = newTable(w, table.Row{"Redis", answers(r.Connected)})
	t.AppendRows([]table.Row{
		{"latency", took(r.Latency)}, {"memory", memoryOf(r.Memory)},
		{"persistence", r.Persistence}, {"eviction", r.EvictionPolicy},
	})
	if r.HeartbeatAge >= 0 { // a client of a moment ago has heard none
		t.AppendRow(table.Row{"heartbeat", took(r.HeartbeatAge)})
	}
	if j := r.Journal; j != nil {
		t.AppendRow(table.Row{"journal", fmt.Sprintf("%s records, the oldest %s, %s refused", howMany(j.Length), took(j.Age), howMany(j.Refused))})
	}
	if j := r.Touches; j != nil {
		t.AppendRow(table.Row{"touches", fmt.Sprintf("%s entries, the oldest %s, %s refused", howMany(j.Length), took(j.Age), howMany(j.Refused))})
	}
	t.Render()
}

// share is a fraction with a bar.
func share(name string, part float64) table.Row {
	return table.Row{name, fmt.Sprintf("%.2f %%", 100*part), bar(decimal.NewFromFloat(part), decimal.NewFromInt(1))}
}

func printMetrics(w io.Writer, m monitoring.Metrics) {
	t := newTable(w, table.Row{"PostgreSQL", "", ""}, 2)
	t.AppendRows([]table.Row{
		{"a query on average", took(m.Database.AvgQueryTime)}, {"slow queries", m.Database.SlowQueries},
		share("connections in use", m.Database.ConnectionPool.Utilization), {"wait for one", took(m.Database.ConnectionPool.WaitTime)},
	})
	t.Render()
	t = newTable(w, table.Row{"cache", "", ""}, 2)
	t.AppendRows([]table.Row{share("hits", m.Cache.HitRate), share("misses", m.Cache.MissRate), share("evictions", m.Cache.EvictionRate)})
	t.Render()
	t = newTable(w, table.Row{"errors", fmt.Sprintf("%g/s", m.Errors.Rate)}, 2)
	for _, code := range slices.Sorted(maps.Keys(m.Errors.Types)) {
		t.AppendRow(table.Row{code, m.Errors.Types[code]})
	}
	t.Render()
}

func printQueries(w io.Writer, s monitoring.QueryStats) {
	var most time.Duration
	for _, q := range s.SlowQueries {
		most = max(most, q.AvgDuration)
	}
	t := newTable(w, table.Row{"slowest", "average", "calls", "last (UTC)", ""}, 2, 3)
	for _, q := range s.SlowQueries {
		t.AppendRow(table.Row{q.Query, took(q.AvgDuration), q.CallCount, moment(q.LastExecuted), bar(decimal.NewFromInt(int64(q.AvgDuration)), decimal.NewFromInt(int64(most)))})
	}
	t.Render()
	var calls int64
	for _, q := range s.FrequentQueries {
		calls = max(calls, q.CallCount)
	}
	t = newTable(w, table.Row{"most frequent", "calls", "in all", ""}, 2, 3)
	for _, q := range s.FrequentQueries {
		t.AppendRow(table.Row{q.Query, q.CallCount, took(q.TotalDuration), bar(decimal.NewFromInt(q.CallCount), decimal.NewFromInt(calls))})
	}
	t.Render()
}
