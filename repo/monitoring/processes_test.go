package monitoring_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/monitoring"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// gatewayVar makes the test binary a gateway.
const gatewayVar = "RELAYSTORE_TEST_GATEWAY"

// TestMain is of package monitoring, which cannot import repo.
func init() {
	if os.Getenv(gatewayVar) == "" {
		return
	}
	if err := playGateway(context.Background()); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// seen is what a gateway knows of its own load, from beside the library.
type seen struct{ Lookups, Reads, Duplicates int64 }

// reads counts how often validation asked PostgreSQL.
type reads struct{ atomic.Int64 }

// TraceQueryStart counts the statement of validation.
func (r *reads) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if strings.HasPrefix(q.SQL, "-- name: APIKeyGetByHash ") {
		r.Add(1)
	}
	return ctx
}

func (*reads) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// playGateway validates until it is answered from its cache, and some times more,
// strangers' keys included, and creates keys that exist already.
func playGateway(ctx context.Context) error {
	cfg, err := repo.ConfigFromEnv()
	if err != nil {
		return err
	}
	asked := &reads{}
	cfg.Tracer, cfg.ConsistencyChecks = asked, -1 // no reads but for look-ups
	client, err := repo.Open(ctx, cfg)
	if err != nil {
		return err
	}
	key, err := client.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{Name: "n"}).Get()
	if err != nil {
		return err
	}
	var s seen
	look := func(hash string) { client.APIKeys.ValidateAPIKey(ctx, hash); s.Lookups++ }
	for hit := false; !hit; {
		before := asked.Load()
		look(key.HashedKey)
		hit = asked.Load() == before
	}
	for range 500 {
		look(key.HashedKey)
		look(apikeys.HashPlaintext(uuid.NewString()))
	}
	for range 3 {
		err := client.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{ID: key.ID, Name: "n"}).Err()
		if !errors.Is(err, result.DuplicateKey) {
			return fmt.Errorf("a duplicate: %w", err)
		}
		s.Duplicates++
	}
	s.Reads = asked.Load()
	if err := client.Close(ctx); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(s)
}

// Two gateways with a cache have run and ended: the rates are those of their calls.
func TestCacheAndErrorsOfTwoGateways(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	var all seen
	for range 2 {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), gatewayVar+"=1", "DATABASE_URL="+cfg.DatabaseURL, "REDIS_URL="+cfg.RedisURL,
			"RELAYSTORE_KEY_PREFIX="+cfg.KeyPrefix, "RELAYSTORE_REQUIRE_REDIS=true")
		var log strings.Builder
		c.Stderr = &log
		out, err := c.Output()
		require.NoError(t, err, log.String())
		var s seen
		lines := bufio.NewScanner(strings.NewReader(string(out)))
		require.True(t, lines.Scan())
		require.NoError(t, json.Unmarshal(lines.Bytes(), &s), string(out))
		all.Lookups, all.Reads, all.Duplicates = all.Lookups+s.Lookups, all.Reads+s.Reads, all.Duplicates+s.Duplicates
	}
	require.GreaterOrEqual(t, all.Reads, int64(1000), "strangers' keys are misses")
	m, err := testclient.Open(t, cfg).Monitoring.GetPerformanceMetrics(t.Context(), monitoring.Range1h)
	require.NoError(t, err)
	rate := func(n int64) float64 { return math.Round(float64(n)/float64(all.Lookups)*1e6) / 1e6 }
	require.Equal(t, monitoring.CacheMetrics{HitRate: rate(all.Lookups - all.Reads), MissRate: rate(all.Reads)}, m.Cache)
	delete(m.Errors.Types, result.CacheError)   // a Redis that a loaded machine makes slow,
	delete(m.Errors.Types, result.QueryTimeout) // and background work that it makes late
	require.Equal(t, map[result.Code]int64{result.DuplicateKey: all.Duplicates}, m.Errors.Types)
	require.Positive(t, m.Database.AvgQueryTime)
	require.Less(t, m.Database.ConnectionPool.Utilization, 1.0)
	require.Positive(t, m.Database.ConnectionPool.Utilization)
}

// A full table evicts, and the rate is that of its counter.
func TestEvictionRate(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	cfg.CachedKeys, cfg.ConsistencyChecks = 1, -1
	c := testclient.Open(t, cfg)
	hashes := make([]string, 100)
	for i := range hashes {
		k, err := c.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n"}).Get()
		require.NoError(t, err)
		hashes[i] = k.HashedKey
	}
	lookups := 0
	require.Eventually(t, func() bool {
		for _, h := range hashes {
			require.NoError(t, c.APIKeys.ValidateAPIKey(t.Context(), h).Err())
			lookups++
		}
		return c.APIKeys.Evictions() > 0
	}, time.Minute, time.Millisecond)
	m, err := c.Monitoring.GetPerformanceMetrics(t.Context(), monitoring.Range5m)
	require.NoError(t, err)
	require.InDelta(t, float64(c.APIKeys.Evictions())/float64(lookups), m.Cache.EvictionRate, 1e-6)
	require.InDelta(t, 1, m.Cache.HitRate+m.Cache.MissRate, 1e-6)
}
