package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed14a526e0/relaystore/repo/monitoring"
	"github.com/seed14a526e0/relaystore/strategy"
)

// scrapeLimit is more than the process's own bounds for what it asks.
const scrapeLimit = 3 * time.Second

// Collector is a prometheus.Collector of one client. It is safe for concurrent use.
type Collector struct{ of *monitoring.Repo }

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector makes the collector of a client's Monitoring.
func NewCollector(of *monitoring.Repo) *Collector { return &Collector{of} }

// Describe sends the descriptions of all metrics.
func (*Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range described {
		ch <- d
	}
}

// Collect sends what the process knows now.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	p := c.of.Process(ctx)
	s := sender(ch)
	s.queries(p)
	s.pool(p)
	s.cache(p)
	s.usage(p)
	for code, n := range p.Failures {
		s.counter(errorsTotal, float64(n), string(code))
	}
	if p.Outbox != nil {
		s.gauge(outboxWaiting, float64(p.Outbox.Waiting))
		s.gauge(outboxOldest, p.Outbox.Oldest.Seconds())
	}
}

type sender chan<- prometheus.Metric

func (s sender) counter(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func (s sender) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s sender) is(d *prometheus.Desc, yes bool) {
	v := 0.0
	if yes {
		v = 1
	}
	s.gauge(d, v)
}

// histogram takes the numbers that each bucket has alone; the last has no bound.
func (s sender) histogram(d *prometheus.Desc, bounds []float64, alone []int64, sum float64) {
	buckets := make(map[float64]uint64, len(bounds))
	var all uint64
	for i, n := range alone {
		all += uint64(n) //nolint:gosec // a count
		if i < len(bounds) {
			buckets[bounds[i]] = all
		}
	}
	s <- prometheus.MustNewConstHistogram(d, all, sum, buckets)
}

func (s sender) queries(p monitoring.Process) {
	var all strategy.QueryFigures
	for name, q := range p.Queries {
		s.counter(queryCalls, float64(q.Calls), name)
		s.counter(querySeconds, q.Total.Seconds(), name)
		s.counter(querySlow, float64(q.Slow), name)
		s.counter(queryFailed, float64(q.Failed), name)
		all.Total += q.Total
		for i, n := range q.Durations {
			all.Durations[i] += n
		}
	}
	var bounds []float64
	for _, b := range strategy.DurationBounds() {
		bounds = append(bounds, b.Seconds())
	}
	s.histogram(queryDuration, bounds, all.Durations[:], all.Total.Seconds())
}

func (s sender) pool(p monitoring.Process) {
	s.gauge(poolConnections, float64(p.Conns-p.Idle), "in_use")
	s.gauge(poolConnections, float64(p.Idle), "idle")
	s.gauge(poolMax, float64(p.MaxConns))
	s.counter(poolAcquires, float64(p.Pool.Acquires))
	s.counter(poolWait, p.Pool.Waited.Seconds())
	s.counter(poolBusy, p.Pool.Busy.Seconds())
}

func (s sender) cache(p monitoring.Process) {
	if p.Cache == nil {
		return
	}
	for kind, n := range p.Cache.Kinds {
		s.counter(cacheHits, float64(n.Hits), kind)
		s.counter(cacheMisses, float64(n.Misses), kind)
		s.counter(cacheEvictions, float64(n.Evictions), kind)
	}
	s.is(cacheFresh, p.Cache.Fresh)
	s.is(cacheOff, p.Cache.Off)
	if p.Cache.Age >= 0 {
		s.gauge(cacheStaleness, p.Cache.Age.Seconds())
	}
	s.counter(consistencyChecked, float64(p.Consistency.Checked))
	s.counter(consistencyViolations, float64(p.Consistency.Violating))
}

func (s sender) usage(p monitoring.Process) {
	bounds := make([]float64, len(p.Batches.Sizes))
	for i := range bounds {
		bounds[i] = float64(int(1) << i)
	}
	s.histogram(usageBatch, bounds, p.Batches.Sizes[:], float64(p.Batches.Records))
	if j := p.Journal; j != nil {
		s.is(journalAppending, j.Appending)
		s.gauge(journalUnflushed, float64(j.Unflushed))
		s.gauge(journalRefused, float64(j.Refused))
		s.gauge(journalOldest, j.Oldest.Seconds())
	}
	if j := p.Touches; j != nil {
		s.is(touchesAppending, j.Appending)
		s.gauge(touchesUnflushed, float64(j.Unflushed))
		s.gauge(touchesRefused, float64(j.Refused))
		s.gauge(touchesOldest, j.Oldest.Seconds())
		s.counter(touchesDropped, float64(p.TouchesDropped))
	}
}
