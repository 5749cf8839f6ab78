package monitoring

import (
	"context"
	"time"
)

// performance are the performance metrics that an alert can watch, in their JSON's unit.
var performance = map[string]func(Metrics) float64{
	"database.avgQueryTime":               func(m Metrics) float64 { return ms(m.Database.AvgQueryTime) },
	"database.slowQueries":                func(m Metrics) float64 { return float64(m.Database.SlowQueries) },
	"database.connectionPool.utilization": func(m Metrics) float64 { return m.Database.ConnectionPool.Utilization },
	"database.connectionPool.waitTime":    func(m Metrics) float64 { return ms(m.Database.ConnectionPool.WaitTime) },
	"cache.hitRate":                       func(m Metrics) float64 { return m.Cache.HitRate },
	"cache.missRate":                      func(m Metrics) float64 { return m.Cache.MissRate },
	"cache.evictionRate":                  func(m Metrics) float64 { return m.Cache.EvictionRate },
	"errors.rate":                         func(m Metrics) float64 { return m.Errors.Rate },
}

// measure gives a performance metric over all processes.
func (r *Repo) measure(ctx context.Context, metric string, window time.Duration) (float64, error) {
	m, err := r.metrics(ctx, window)
	if err != nil {
		return 0, err
	}
	return performance[metric](m), nil
}
