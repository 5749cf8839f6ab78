package strategy

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Durations are counted by powers of two: below 64 µs, 128 µs and so on up to 2.1 s,
// and all beyond.
const (
	firstDuration = 6 // 2⁶ µs
	durations     = 17
)

// DurationBounds are the upper bounds of [QueryFigures].Durations, but for the last,
// which has none.
func DurationBounds() []time.Duration {
	bounds := make([]time.Duration, durations-1)
	for i := range bounds {
		bounds[i] = time.Microsecond << (firstDuration + i)
	}
	return bounds
}

// queryMeter counts the calls of one query. Three atomics a call.
type queryMeter struct {
	durations  [durations]atomic.Int64
	nanos      atomic.Int64
	slow       atomic.Int64
	failed     atomic.Int64
	lastAtNano atomic.Int64
}

func (q *queryMeter) add(since, now time.Time, slow time.Duration, failed bool) {
	d := max(0, now.Sub(since))
	i := bits.Len64(uint64(d.Microseconds())) - firstDuration //nolint:gosec // not negative
	q.durations[min(max(i, 0), durations-1)].Add(1)
	q.nanos.Add(int64(d))
	q.lastAtNano.Store(now.UnixNano())
	if d >= slow {
		q.slow.Add(1)
	}
	if failed {
		q.failed.Add(1)
	}
}

// QueryFigures are what a Meter has counted of a query since it was made.
type QueryFigures struct {
	// Calls counts those that have ended, also in an error; Slow those that took as
	// long as the Meter's Slow or longer, Failed those that ended in an error.
	Calls, Slow, Failed int64
	// Total is the time from sending it until its last row was read.
	Total time.Duration
	// Last is when the last call ended.
	Last time.Time
	// Durations count the calls by DurationBounds.
	Durations [durations]int64
}

// Queries gives the figures by name.
func (m *Meter) Queries() map[string]QueryFigures {
	if m == nil || m.named.Load() == nil {
		return nil
	}
	all := make(map[string]QueryFigures)
	for name, q := range *m.named.Load() {
		if f := q.figures(); f.Calls > 0 {
			all[name] = f
		}
	}
	return all
}

func (q *queryMeter) figures() (f QueryFigures) {
	for i := range q.durations {
		f.Durations[i] = q.durations[i].Load()
		f.Calls += f.Durations[i]
	}
	f.Total, f.Slow, f.Failed = time.Duration(q.nanos.Load()), q.slow.Load(), q.failed.Load()
	f.Last = time.Unix(0, q.lastAtNano.Load())
	return f
}
