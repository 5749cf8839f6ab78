package monitoring

import (
	"encoding/json"
	"math"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// Range is how far back performance metrics reach.
type Range = string

// The contract's ranges.
const (
	Range5m  Range = "5m"
	Range1h  Range = "1h"
	Range24h Range = "24h"
	Range7d  Range = "7d"
)

// Metrics are the performance metrics of a range, over all processes.
type Metrics struct {
	Database DatabaseMetrics `json:"database"`
	Cache    CacheMetrics    `json:"cache"`
	Errors   ErrorMetrics    `json:"errors"`
}

// DatabaseMetrics are PostgreSQL's.
type DatabaseMetrics struct {
	// AvgQueryTime is the average from sending a query until its last row was read; in
	// JSON ms.
	AvgQueryTime time.Duration
	// SlowQueries counts those that took as long as the process's threshold or longer.
	SlowQueries    int64
	ConnectionPool PoolMetrics
}

// PoolMetrics are the connection pools'.
type PoolMetrics struct {
	// Utilization is the part of the connections that was in use, 0..1, averaged over
	// time and processes.
	Utilization float64
	// WaitTime is how long a call waited for a connection on average, those included
	// that got none; in JSON ms.
	WaitTime time.Duration
}

// CacheMetrics are fractions of the look-ups of cached records, 0..1.
type CacheMetrics struct {
	// HitRate is the part that spared PostgreSQL, MissRate the rest.
	HitRate  float64 `json:"hitRate"`
	MissRate float64 `json:"missRate"`
	// EvictionRate is how many records went for others' sake, a look-up.
	EvictionRate float64 `json:"evictionRate"`
}

// ErrorMetrics are the failures of PostgreSQL and Redis, after retries. What the
// library answers is none: wrong input, no such record, a caller who left.
type ErrorMetrics struct {
	// Rate is per second.
	Rate float64 `json:"rate"`
	// Types counts them by code.
	Types map[result.Code]int64 `json:"types"`
}

// QueryStats are the queries of the last seven days by name, over all processes.
type QueryStats struct {
	// SlowQueries are those with the longest averages, the longest first.
	SlowQueries []SlowQuery `json:"slowQueries"`
	// FrequentQueries are those with the most calls, the most first.
	FrequentQueries []FrequentQuery `json:"frequentQueries"`
}

// SlowQuery is a query by its average.
type SlowQuery struct {
	// Query is its name in queries/, or commit; never its text.
	Query       string
	AvgDuration time.Duration // in JSON ms
	CallCount   int64
	// LastExecuted is when its last call ended.
	LastExecuted time.Time
	// Server is what pg_stat_statements knows, nil where it tells nothing.
	Server *ServerStats
}

// FrequentQuery is a query by its calls.
type FrequentQuery struct {
	Query         string
	CallCount     int64
	TotalDuration time.Duration // in JSON ms
	// Server is what pg_stat_statements knows, nil where it tells nothing.
	Server *ServerStats
}

// ServerStats are PostgreSQL's own figures of a query since their last reset, from
// the extension pg_stat_statements: of every client of the database, the network and
// the wait for rows to be read not included. An extension of the contract.
type ServerStats struct {
	CallCount   int64
	AvgDuration time.Duration // in JSON ms
	// Rows is how many were read or written, BlocksRead how many blocks were not in
	// PostgreSQL's memory.
	Rows, BlocksRead int64
}

// ms is a duration in milliseconds, to the microsecond.
func ms(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond).Microseconds()) / 1000
}

// MarshalJSON gives the contract's names and units.
func (m DatabaseMetrics) MarshalJSON() ([]byte, error) {
	type pool struct {
		Utilization float64 `json:"utilization"`
		WaitTime    float64 `json:"waitTime"`
	}
	return json.Marshal(struct {
		AvgQueryTime   float64 `json:"avgQueryTime"`
		SlowQueries    int64   `json:"slowQueries"`
		ConnectionPool pool    `json:"connectionPool"`
	}{ms(m.AvgQueryTime), m.SlowQueries, pool{m.ConnectionPool.Utilization, ms(m.ConnectionPool.WaitTime)}})
}

// MarshalJSON gives the contract's names and units.
func (q SlowQuery) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Query        string       `json:"query"`
		AvgDuration  float64      `json:"avgDuration"`
		CallCount    int64        `json:"callCount"`
		LastExecuted result.Time  `json:"lastExecuted"`
		Server       *ServerStats `json:"server,omitempty"`
	}{q.Query, ms(q.AvgDuration), q.CallCount, result.Time(q.LastExecuted), q.Server})
}

// MarshalJSON gives the contract's names and units.
func (q FrequentQuery) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Query         string       `json:"query"`
		CallCount     int64        `json:"callCount"`
		TotalDuration float64      `json:"totalDuration"`
		Server        *ServerStats `json:"server,omitempty"`
	}{q.Query, q.CallCount, ms(q.TotalDuration), q.Server})
}

// MarshalJSON gives names and units in the contract's manner.
func (s ServerStats) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		CallCount   int64   `json:"callCount"`
		AvgDuration float64 `json:"avgDuration"`
		Rows        int64   `json:"rows"`
		BlocksRead  int64   `json:"blocksRead"`
	}{s.CallCount, ms(s.AvgDuration), s.Rows, s.BlocksRead})
}

// ratio is part/whole to six decimals, 0 of nothing.
func ratio(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return math.Round(part/whole*1e6) / 1e6
}
