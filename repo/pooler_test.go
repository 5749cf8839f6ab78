package repo_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Behind a pooler, Open does without prepared statements, says what else is lost, and
// refuses a pool that prepares them. The suite of repotest runs behind one, too.
func TestPooler(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	direct := cfg.DatabaseURL
	pooled := testdb.Pooled(t, direct)
	warns := func(cfg repo.Config) bool {
		var log strings.Builder
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		client, err := repo.Open(t.Context(), cfg)
		require.NoError(t, err)
		for range 3 {
			require.NoError(t, client.APIKeys.GetAllAPIKeys(t.Context(), apikeys.Filters{}).Err())
		}
		require.NoError(t, client.Close(t.Context()))
		return strings.Contains(log.String(), "RELAYSTORE_DIRECT_URL")
	}
	require.False(t, warns(cfg))
	cfg.DatabaseURL = pooled
	require.True(t, warns(cfg))
	cfg.DirectURL = direct
	require.False(t, warns(cfg))

	cfg.DatabaseURL, cfg.MaxConns, cfg.Pool = "", 0, testdb.Pool(t, pooled)
	_, err := repo.Open(t.Context(), cfg)
	require.ErrorIs(t, err, result.InvalidQuery)
	require.Equal(t, "Pool", result.From(err).Field())
	cfg.Pool = testdb.Pool(t, pooled+"&default_query_exec_mode=cache_describe")
	testclient.Open(t, cfg)
}
