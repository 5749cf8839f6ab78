package strategy

import (
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// occupancy is how much of the pool is in use, over time.
type occupancy struct {
	mu     sync.Mutex
	held   int64 // connections in use
	since  time.Time
	busy   time.Duration // connections in use times how long, until since
	asked  int64
	waited time.Duration
}

// PoolFigures are what a Meter has counted of connections since it was made.
type PoolFigures struct {
	// Acquires counts the calls that asked for a connection, those included that got
	// none in time; Waited is how long they all waited.
	Acquires int64
	Waited   time.Duration
	// Busy is how long connections have been in use, summed over connections, up to
	// now.
	Busy time.Duration
}

// Pool gives the figures.
func (m *Meter) Pool() PoolFigures {
	if m == nil {
		return PoolFigures{}
	}
	m.pool.mu.Lock()
	defer m.pool.mu.Unlock()
	m.pool.move(m.clock(), 0)
	return PoolFigures{m.pool.asked, m.pool.waited, m.pool.busy}
}

// move counts the time until now, and then holds more or fewer connections.
func (o *occupancy) move(now time.Time, by int64) {
	if d := now.Sub(o.since); d > 0 {
		o.busy += time.Duration(o.held) * d
		o.since = now
	}
	o.held += by
}

func (m *Meter) acquiring() (began time.Time) {
	if m == nil {
		return began
	}
	return m.clock()
}

func (m *Meter) acquired(began time.Time, err error) {
	if m == nil {
		return
	}
	now := m.clock()
	m.pool.mu.Lock()
	defer m.pool.mu.Unlock()
	m.pool.asked++
	m.pool.waited += now.Sub(began)
	if err == nil {
		m.pool.move(now, 1)
	}
}

func (m *Meter) released() {
	if m == nil {
		return
	}
	now := m.clock()
	m.pool.mu.Lock()
	defer m.pool.mu.Unlock()
	m.pool.move(now, -1)
}

// Failures counts the calls of [Postgres] that failed, after their retries, by code.
func (m *Meter) Failures() map[result.Code]int64 {
	if m == nil {
		return nil
	}
	m.failing.Lock()
	defer m.failing.Unlock()
	return maps.Clone(m.failures)
}

// outcome counts a failure of the database, and passes err on. What the library
// itself answers is none: no row, input that a transaction refused, a caller who
// left.
func (m *Meter) outcome(err error) error {
	if m == nil || err == nil {
		return err
	}
	if code, failure := failureOf(err); failure {
		m.failing.Lock()
		defer m.failing.Unlock()
		if m.failures == nil {
			m.failures = make(map[result.Code]int64)
		}
		m.failures[code]++
	}
	return err
}

func failureOf(err error) (code result.Code, failure bool) {
	code = result.From(err).Code
	var pg *pgconn.PgError
	var never notAcquiredError
	var own *result.Error
	var ownCode result.Code
	switch {
	case code == result.Cancelled:
		return code, false
	case errors.As(err, &never), errors.As(err, &pg):
		return code, true
	case errors.As(err, &own), errors.As(err, &ownCode):
		return code, false
	}
	return code, code != result.RecordNotFound && code != result.Internal
}
