package monitoring

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// maxUnstored bounds the minutes that wait for a database that is down; older ones
// are dropped.
const maxUnstored = 120

// counts are everything that a minute's row holds.
type counts struct {
	queries, slow, acquires int64
	queryTime, waited       time.Duration
	busy, capacity          time.Duration
	hits, misses, evictions int64
	errors                  map[result.Code]int64
}

// plus adds b times as often as sign says.
func (a counts) plus(b counts, sign int64) counts {
	d := time.Duration(sign)
	sum := counts{
		queries: a.queries + sign*b.queries, slow: a.slow + sign*b.slow, acquires: a.acquires + sign*b.acquires,
		queryTime: a.queryTime + d*b.queryTime, waited: a.waited + d*b.waited,
		busy: a.busy + d*b.busy, capacity: a.capacity + d*b.capacity,
		hits: a.hits + sign*b.hits, misses: a.misses + sign*b.misses, evictions: a.evictions + sign*b.evictions,
		errors: make(map[result.Code]int64, len(a.errors)),
	}
	maps.Copy(sum.errors, a.errors)
	for code, n := range b.errors {
		sum.errors[code] += sign * n
	}
	maps.DeleteFunc(sum.errors, func(_ result.Code, n int64) bool { return n == 0 })
	return sum
}

// sample is what a process counted in a minute.
type sample struct {
	minute time.Time
	id     uuid.UUID
	counts
}

// hour is what a process has counted of its queries in an hour.
type hour struct {
	start time.Time
	id    uuid.UUID
	base  map[string]strategy.QueryFigures // counted before
}

// sampler cuts what the meters count into minutes.
type sampler struct {
	repo  *Repo
	conns time.Duration // of the pool
	began time.Time

	mu       sync.Mutex
	base     counts // counted before the current minute
	current  sample // without its counts
	unstored []sample
	hour     hour
}

func newSampler(r *Repo) *sampler {
	now := r.now()
	s := &sampler{repo: r, conns: time.Duration(r.Primary.Conns()), began: now}
	s.base = s.counted(now)
	s.current = begin(now)
	s.hour = hour{now.UTC().Truncate(time.Hour), uuid.New(), r.Primary.Meter.Queries()}
	return s
}

func begin(now time.Time) sample {
	return sample{minute: now.UTC().Truncate(time.Minute), id: uuid.New()}
}

// counted reads the meters: everything since they were made.
func (s *sampler) counted(now time.Time) (c counts) {
	for _, q := range s.repo.Primary.Meter.Queries() {
		c.queries, c.slow, c.queryTime = c.queries+q.Calls, c.slow+q.Slow, c.queryTime+q.Total
	}
	pool := s.repo.Primary.Meter.Pool()
	c.acquires, c.waited, c.busy, c.capacity = pool.Acquires, pool.Waited, pool.Busy, s.conns*now.Sub(s.began)
	for _, k := range s.repo.Cache.Counters() {
		c.hits, c.misses, c.evictions = c.hits+k.Hits, c.misses+k.Misses, c.evictions+k.Evictions
	}
	c.errors = s.repo.failures()
	return c
}

// roll ends the current minute when it is over, or in any case.
func (s *sampler) roll(now time.Time, anyway bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := begin(now)
	if next.minute.Equal(s.current.minute) && !anyway {
		return
	}
	all := s.counted(now)
	done := s.current
	done.counts = all.plus(s.base, -1)
	s.base, s.current = all, next
	s.unstored = append(s.unstored, done)
	if len(s.unstored) > maxUnstored {
		s.unstored = slices.Delete(s.unstored, 0, 1)
	}
}

// own gives what the process has counted since a minute and not stored, and the ids
// of the rows that hold it, or will: those must not be counted again.
func (s *sampler) own(since, now time.Time) (sum counts, ids []uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum = s.counted(now).plus(s.base, -1)
	ids = []uuid.UUID{s.current.id}
	for _, u := range s.unstored {
		ids = append(ids, u.id)
		if !u.minute.Before(since) {
			sum = sum.plus(u.counts, 1)
		}
	}
	return sum, ids
}

// stored forgets the minutes that are in the database now.
func (s *sampler) stored(samples []sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unstored = slices.DeleteFunc(s.unstored, func(u sample) bool {
		return slices.ContainsFunc(samples, func(d sample) bool { return d.id == u.id })
	})
}

func (s sample) row() db.PerformanceSampleInsertParams {
	p := db.PerformanceSampleInsertParams{
		Minute: s.minute, ID: s.id, Queries: s.queries, QueryMicros: s.queryTime.Microseconds(), SlowQueries: s.slow,
		Acquires: s.acquires, WaitMicros: s.waited.Microseconds(), BusyMicros: s.busy.Microseconds(),
		CapacityMicros: s.capacity.Microseconds(), Hits: s.hits, Misses: s.misses, Evictions: s.evictions,
		ErrorCodes: []string{}, ErrorCounts: []int64{},
	}
	for code, n := range s.errors {
		p.ErrorCodes, p.ErrorCounts = append(p.ErrorCodes, string(code)), append(p.ErrorCounts, n)
	}
	return p
}
