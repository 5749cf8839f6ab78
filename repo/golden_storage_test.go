package repo_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/monitoring"
	"github.com/seed14a526e0/relaystore/strategy"
)

// storage calls one of the methods. A first argument "cancelled" of getStorageHealth,
// which has none, is a caller who has given up; else it waits for the first heartbeat,
// so that each figure is there.
func (g goldenCall) storage(t *testing.T, c *repo.Client) any {
	ctx := t.Context()
	switch g.Call {
	case "getStorageConfig":
		return bare(c.Storage.GetStorageConfig(arg[strategy.DataType](t, g, 0)))
	case "switchStorageStrategy":
		return c.Storage.SwitchStorageStrategy(ctx, arg[strategy.DataType](t, g, 0), arg[strategy.Config](t, g, 1))
	case "setPerformanceAlert":
		return c.Monitoring.SetPerformanceAlert(ctx, arg[monitoring.AlertConfig](t, g, 0))
	}
	if len(g.Args) > 0 {
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		return bare(c.Storage.GetStorageHealth(cancelled))
	}
	require.Eventually(t, func() bool {
		h, err := c.Storage.GetStorageHealth(ctx)
		return err == nil && h.Redis.HeartbeatAge >= 0
	}, time.Minute, time.Millisecond)
	return bare(c.Storage.GetStorageHealth(ctx))
}
