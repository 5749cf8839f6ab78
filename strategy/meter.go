package strategy

import (
	"context"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// DefaultSlowQuery is how long a query takes that counts as slow.
	DefaultSlowQuery = 100 * time.Millisecond
	// maxQueries bounds the names that are told apart; a program that shares the pool
	// may have names of its own.
	maxQueries   = 500
	maxQueryName = 64
	// OtherQueries is the name of all beyond them.
	OtherQueries = "other"
	// CommitQuery is the name of each commit: there a write waits for the disk.
	CommitQuery = "commit"
)

// Meter counts what a process asks of PostgreSQL: the queries of its pool, as the
// pool's tracer, and what [Postgres] does with its connections. A query is what
// begins with sqlc's "-- name: " comment, and a commit; of its text nothing but the
// name is kept, of its arguments nothing. A nil Meter counts nothing.
type Meter struct {
	// Slow is how long a query takes that counts as slow; 0 is DefaultSlowQuery. It is
	// set before the first query, as Now is.
	Slow time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	named  atomic.Pointer[map[string]*queryMeter]
	adding sync.Mutex

	pool     occupancy
	failing  sync.Mutex
	failures map[result.Code]int64
}

// MeterOf gives the Meter that traces a pool, alone or among others of a
// multitracer; nil without one.
func MeterOf(pool *pgxpool.Pool) *Meter {
	switch t := pool.Config().ConnConfig.Tracer.(type) {
	case *Meter:
		return t
	case *multitracer.Tracer:
		for _, q := range t.QueryTracers {
			if m, ok := q.(*Meter); ok {
				return m
			}
		}
	}
	return nil
}

// running is what a connection is doing. It is kept with the connection, which does
// one thing at a time: a context's value would cost an allocation a query.
type running struct {
	query *queryMeter
	since time.Time
}

const customKey = "relaystore.meter"

// TraceQueryStart begins to measure a query.
func (m *Meter) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	custom := conn.PgConn().CustomData()
	r, _ := custom[customKey].(*running)
	if r == nil {
		r = &running{}
		custom[customKey] = r
	}
	if r.query = m.query(data.SQL); r.query != nil {
		r.since = m.clock()
	}
	return ctx
}

// TraceQueryEnd counts it.
func (m *Meter) TraceQueryEnd(_ context.Context, conn *pgx.Conn, data pgx.TraceQueryEndData) {
	r, _ := conn.PgConn().CustomData()[customKey].(*running)
	if r == nil || r.query == nil {
		return
	}
	r.query.add(r.since, m.clock(), m.slow(), data.Err != nil)
	r.query = nil
}

// query gives where a statement is counted, nil for one that is no query.
func (m *Meter) query(sql string) *queryMeter {
	name := queryName(sql)
	if name == "" {
		return nil
	}
	if known := m.named.Load(); known != nil {
		if q := (*known)[name]; q != nil {
			return q
		}
	}
	return m.add(name)
}

// queryName gives the name that a statement begins with, or "".
func queryName(sql string) string {
	rest, named := strings.CutPrefix(sql, "-- name: ")
	if !named {
		if sql == CommitQuery {
			return CommitQuery
		}
		return ""
	}
	end := strings.IndexByte(rest[:min(len(rest), maxQueryName+1)], ' ')
	return rest[:max(end, 0)]
}

// add makes room for a name, up to maxQueries of them.
func (m *Meter) add(name string) *queryMeter {
	m.adding.Lock()
	defer m.adding.Unlock()
	known := map[string]*queryMeter{}
	if p := m.named.Load(); p != nil {
		known = *p
	}
	if len(known) >= maxQueries || !isName(name) {
		name = OtherQueries
	}
	if q := known[name]; q != nil {
		return q
	}
	name = strings.Clone(name) // else it holds the whole statement
	more := maps.Clone(known)
	more[name] = &queryMeter{}
	m.named.Store(&more)
	return more[name]
}

// isName keeps what is no name out of the figures: nobody knows what stands in a
// comment of another program.
func isName(name string) bool {
	for _, c := range name {
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

func (m *Meter) clock() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}

func (m *Meter) slow() time.Duration {
	if m.Slow > 0 {
		return m.Slow
	}
	return DefaultSlowQuery
}
