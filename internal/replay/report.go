package replay

import (
	"context"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// Report is what the library says of the replay's keys: GetUsageStats summed over
// them, never the replay's own counters. Only Duplicates and the rates are of
// this run.
type Report struct {
	Requests     int64        `json:"requests"`
	InputTokens  int64        `json:"inputTokens"`
	OutputTokens int64        `json:"outputTokens"`
	TotalTokens  int64        `json:"totalTokens"`
	Cost         result.Money `json:"cost"`
	// Duplicates counts the rows that an earlier replay had recorded.
	Duplicates int64 `json:"duplicates"`
	// The rates are calls a second over all callers, counting the time spent in
	// such calls alone.
	ValidationsPerSecond float64 `json:"validationsPerSecond"`
	RecordsPerSecond     float64 `json:"recordsPerSecond"`

	Models map[string]ModelReport `json:"models"`
}

// ModelReport is one model's part.
type ModelReport struct {
	Requests    int64        `json:"requests"`
	TotalTokens int64        `json:"totalTokens"`
	Cost        result.Money `json:"cost"`
}

func (r *runner) report(ctx context.Context) (Report, error) {
	rep := Report{
		Duplicates:           r.duplicates.Load(),
		ValidationsPerSecond: r.rate(r.validating.Load()),
		RecordsPerSecond:     r.rate(r.recording.Load()),
		Models:               map[string]ModelReport{},
	}
	for _, k := range r.keys {
		stats, err := r.client.Usage.GetUsageStats(ctx, usage.StatsQuery{
			APIKeyID: k.id, StartDate: monthStart(r.trace.First, 0), EndDate: monthStart(r.trace.Last, 1), Granularity: usage.Month,
		}).Get()
		if err != nil {
			return Report{}, err
		}
		for _, bucket := range stats.Stats {
			rep.add(bucket)
		}
	}
	return rep, nil
}

func (r *runner) rate(nanoseconds int64) float64 {
	seconds := time.Duration(nanoseconds).Seconds() / float64(r.opts.Callers)
	return float64(r.trace.Rows) / max(seconds, 1e-9)
}

// monthStart is wide enough for the whole trace and cuts no rollup.
func monthStart(t time.Time, months int) time.Time {
	return time.Date(t.Year(), t.Month()+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
}

func (rep *Report) add(b usage.Bucket) {
	rep.Requests += b.Requests
	rep.InputTokens += b.InputTokens
	rep.OutputTokens += b.OutputTokens
	rep.TotalTokens += b.TotalTokens
	rep.Cost = rep.Cost.Add(b.Cost)
	for name, f := range b.Models {
		m := rep.Models[name]
		rep.Models[name] = ModelReport{m.Requests + f.Requests, m.TotalTokens + f.TotalTokens, m.Cost.Add(f.Cost)}
	}
}
