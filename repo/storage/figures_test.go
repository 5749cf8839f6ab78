package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo/monitoring"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/storage"
)

// A figure that is watched is the one that the health shows.
func TestFigures(t *testing.T) {
	t.Parallel()
	p := servers(t, behind)
	p.set("maxmemory", "64mb")
	p.becomes(func(h storage.Health) bool { return h.Redis.HeartbeatAge >= 0 })
	figure := func(metric string) float64 {
		v, err := p.client.Storage.Measure(t.Context(), metric, time.Minute)
		require.NoError(t, err, metric)
		return v
	}
	names := p.client.Storage.Metrics()
	require.Len(t, names, 14)
	require.Subset(t, monitoring.AlertMetrics, names)
	for _, metric := range names {
		require.GreaterOrEqual(t, figure(metric), 0., metric)
	}
	require.InDelta(t, 1, figure("redis.connected"), 0)
	require.Positive(t, figure("redis.latency"))
	require.Positive(t, figure("postgres.latency"))
	used := float64(p.health().Redis.Memory.Used)
	require.InEpsilon(t, used, figure("redis.memory.used"), 0.5)
	require.InEpsilon(t, used/(64<<20), figure("redis.memory.utilization"), 0.5)
	for _, metric := range monitoring.AlertMetrics {
		require.NoError(t, p.client.Monitoring.SetPerformanceAlert(t.Context(), monitoring.AlertConfig{Metric: metric, Operator: monitoring.Above}).Err(), metric)
	}

	require.NoError(t, p.stack.Redis.Pause())
	t.Cleanup(func() { require.NoError(t, p.stack.Redis.Resume()) })
	require.Zero(t, figure("redis.connected"))
	for _, metric := range []string{"redis.latency", "redis.memory.used", "redis.memory.utilization", "redis.journal.length"} {
		_, err := p.client.Storage.Measure(t.Context(), metric, time.Minute)
		require.Error(t, err, metric)
	}
}

// What a process has not, it does not measure, and an alert of it is refused.
func TestFiguresOfAProcessWithoutRedis(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	cfg.RedisURL, cfg.RequireRedis = "", false
	client := testclient.Open(t, cfg)
	require.Len(t, client.Storage.Metrics(), 3)
	for _, metric := range []string{"redis.connected", "redis.journal.length", "coffee"} {
		_, err := client.Storage.Measure(t.Context(), metric, time.Minute)
		require.ErrorIs(t, err, result.InvalidQuery)
		alert := monitoring.AlertConfig{Metric: metric, Operator: monitoring.Above}
		require.Equal(t, "metric", result.From(client.Monitoring.SetPerformanceAlert(t.Context(), alert).Err()).Field())
	}
}

// An alert on a real figure, from the server to the state.
func TestAnAlertOnRedis(t *testing.T) {
	t.Parallel()
	p := servers(t)
	alert := monitoring.AlertConfig{Metric: "redis.connected", Threshold: 1, Operator: monitoring.Below}
	require.NoError(t, p.client.Monitoring.SetPerformanceAlert(t.Context(), alert).Err())
	becomes := func(state monitoring.AlertState) {
		eventually(t, func() bool {
			list, err := p.client.Monitoring.ListPerformanceAlerts(t.Context()).Get()
			require.NoError(t, err)
			return list.Alerts[0].State == state
		})
	}
	require.NoError(t, p.stack.Redis.Pause())
	t.Cleanup(func() { require.NoError(t, p.stack.Redis.Resume()) })
	becomes(monitoring.AlertFiring)
	require.NoError(t, p.stack.Redis.Resume())
	becomes(monitoring.AlertOK)
}
