package repo_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
)

// PostgreSQL is silent, and a use waits to be stored: Close gives up when its
// deadline passes, long before the call's own does.
func TestCloseKeepsItsDeadline(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	proxy, url := faultproxy.Postgres(t, cfg.DatabaseURL)
	t.Cleanup(proxy.Cut)
	cfg.DatabaseURL, cfg.OpTimeout = url, 10*time.Minute
	c, err := repo.Open(t.Context(), cfg)
	require.NoError(t, err)
	k, err := c.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n"}).Get()
	require.NoError(t, err)
	require.NoError(t, c.APIKeys.ValidateAPIKey(t.Context(), k.HashedKey).Err())
	proxy.Stall()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- c.Close(ctx) }()
	select {
	case err := <-closed:
		require.ErrorContains(t, err, "the deadline of Close passed")
	case <-time.After(time.Minute):
		require.Fail(t, "Close has not kept its deadline")
	}
}
