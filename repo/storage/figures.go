package storage

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// figures are what an alert can watch of a Health, by where it stands in its JSON and in
// the unit there; the second result is whether it is known.
var figures = map[string]func(Health) (float64, bool){
	"postgres.latency":            func(h Health) (float64, bool) { return millis(h.Postgres.Latency), h.Postgres.Connected },
	"postgres.poolStatus.waiting": func(h Health) (float64, bool) { return float64(h.Postgres.Pool.Waiting), true },
	"postgres.outboxLag":          func(h Health) (float64, bool) { return millis(h.Postgres.OutboxLag), h.Postgres.OutboxLag >= 0 },
	"redis.connected": func(h Health) (float64, bool) {
		if h.Redis.Connected {
			return 1, true
		}
		return 0, h.Redis.Configured
	},
	"redis.latency":     func(h Health) (float64, bool) { return millis(h.Redis.Latency), h.Redis.Connected },
	"redis.memory.used": func(h Health) (float64, bool) { return float64(h.Redis.Memory.Used), h.Redis.Memory.Used >= 0 },
	"redis.memory.utilization": func(h Health) (float64, bool) {
		m := h.Redis.Memory
		return float64(m.Used) / float64(max(m.Max, 1)), m.Used >= 0 && m.Max > 0
	},
	"redis.heartbeatAge":    func(h Health) (float64, bool) { return millis(h.Redis.HeartbeatAge), h.Redis.HeartbeatAge >= 0 },
	"redis.journal.length":  ofJournal(journalLength),
	"redis.journal.age":     ofJournal(journalAge),
	"redis.journal.refused": ofJournal(journalRefused),
	"redis.touches.length":  ofTouches(journalLength),
	"redis.touches.age":     ofTouches(journalAge),
	"redis.touches.refused": ofTouches(journalRefused),
}

type ofHealth = func(*JournalHealth) (float64, bool)

func ofJournal(f ofHealth) func(Health) (float64, bool) {
	return func(h Health) (float64, bool) { return f(h.Redis.Journal) }
}

func ofTouches(f ofHealth) func(Health) (float64, bool) {
	return func(h Health) (float64, bool) { return f(h.Redis.Touches) }
}

func journalLength(j *JournalHealth) (float64, bool) { return float64(j.Length), j.Length >= 0 }

func journalAge(j *JournalHealth) (float64, bool) { return millis(j.Age), j.Age >= 0 }

func journalRefused(j *JournalHealth) (float64, bool) { return float64(j.Refused), j.Refused >= 0 }

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// errUnknown means that a figure is not known now.
var errUnknown = errors.New("the figure is not known")

// Metrics are the names that Measure knows in this process: those of Redis and the
// journals only where there is one.
func (r *Repo) Metrics() (names []string) {
	for name := range figures {
		if r.measures(name) {
			names = append(names, name)
		}
	}
	return names
}

func (r *Repo) measures(metric string) bool {
	switch {
	case strings.HasPrefix(metric, "redis.journal."):
		return r.Journal != nil
	case strings.HasPrefix(metric, "redis.touches."):
		return r.Touches != nil
	case strings.HasPrefix(metric, "redis."):
		return r.Cache != nil
	}
	return true
}

// Measure gives one of Metrics as GetStorageHealth has it now; calls at the same time
// share one look. There is no window to it.
func (r *Repo) Measure(ctx context.Context, metric string, _ time.Duration) (float64, error) {
	figure := figures[metric]
	if figure == nil || !r.measures(metric) {
		return 0, result.Invalid("metric", "unknown")
	}
	looked := r.looks.DoChan("", func() (any, error) { return r.GetStorageHealth(context.WithoutCancel(ctx)) })
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case look := <-looked:
		if look.Err != nil {
			return 0, look.Err
		}
		if value, known := figure(look.Val.(Health)); known {
			return value, nil
		}
		return 0, errUnknown
	}
}
