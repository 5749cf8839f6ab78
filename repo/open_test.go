package repo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/schema"
	"github.com/seed14a526e0/relaystore/strategy"
)

// silent accepts connections and never says a word, like a stopped server.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	return l.Addr().String()
}

func TestOpenWithoutPostgres(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{"refused": "127.0.0.1:1", "silent": silent(t), "no such host": "nowhere.invalid:5432"} {
		cfg := repo.Config{DatabaseURL: "postgres://user:hunter2@" + address + "/db", ConnectTimeout: 300 * time.Millisecond}
		_, err := repo.Open(t.Context(), cfg)
		require.ErrorIs(t, err, result.ConnectionFailed, name)
		requireClean(t, err)
	}
}

func TestOpenWithWrongCredentialsOrDatabase(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(testdb.URL(t))
	require.NoError(t, err)
	u.Path = "/no_such_database"
	_, err = repo.Open(t.Context(), repo.Config{DatabaseURL: u.String()})
	require.ErrorIs(t, err, result.ConnectionFailed)
	u.User = url.UserPassword("no_such_user", "hunter2")
	_, err = repo.Open(t.Context(), repo.Config{DatabaseURL: u.String()})
	require.ErrorIs(t, err, result.ConnectionFailed)
	requireClean(t, err)
}

func requireClean(t *testing.T, err error) {
	t.Helper()
	doc, _ := json.Marshal(result.From(err))
	for _, text := range []string{err.Error(), string(doc), fmt.Sprintf("%+v", err)} {
		require.NotContains(t, text, "hunter2")
		require.NotContains(t, text, "user")
	}
}

func TestOpenCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := repo.Open(ctx, repo.Config{DatabaseURL: "postgres://u@" + silent(t) + "/db"})
	require.ErrorIs(t, err, result.Cancelled)
}

func TestOpenRefusesASchemaThatDoesNotFit(t *testing.T) {
	t.Parallel()
	_, err := repo.Open(t.Context(), repo.Config{DatabaseURL: testdb.EmptyURL(t)})
	var state *schema.StateError
	require.ErrorAs(t, err, &state)
	require.Equal(t, schema.Missing, state.State)
	require.ErrorContains(t, err, "relaystore migrate up")
}

func TestOpenWithoutRedis(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	cfg.RedisURL = "redis://user:hunter2@127.0.0.1:1/0"
	_, err := repo.Open(t.Context(), cfg)
	require.ErrorIs(t, err, result.CacheError)
	requireClean(t, err)

	var log bytes.Buffer
	cfg.RequireRedis, cfg.Logger = false, slog.New(slog.NewTextHandler(&log, nil))
	c := testclient.Open(t, cfg)
	require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
	require.NotContains(t, log.String(), "hunter2")
	k, err := c.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n"}).Get()
	require.NoError(t, err)
	require.NoError(t, c.APIKeys.ValidateAPIKey(t.Context(), k.HashedKey).Err())
}

func TestOpenOnAGivenPool(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	pool := testdb.Pool(t, cfg.DatabaseURL)
	cfg.Pool, cfg.DatabaseURL, cfg.MaxConns = pool, "", 0
	tuned := false
	cfg.RedisOption = func(o *rueidis.ClientOption) { tuned = true; o.ClientName = "mine" }
	c, err := repo.Open(t.Context(), cfg)
	require.NoError(t, err)
	require.True(t, tuned)
	require.NoError(t, c.APIKeys.GetAllAPIKeys(t.Context(), apikeys.Filters{}).Err())
	require.NoError(t, c.Close(t.Context()))
	require.NoError(t, pool.Ping(t.Context()), "the pool stays its owner's")
}

// The meter of a pool is found, and its want is told once.
func TestAGivenPoolIsMeasuredByItsMeter(t *testing.T) {
	t.Parallel()
	url := testdb.URL(t)
	for _, meter := range []*strategy.Meter{{}, nil} {
		pc, err := pgxpool.ParseConfig(url)
		require.NoError(t, err)
		if meter != nil {
			pc.ConnConfig.Tracer = meter
		}
		pool, err := pgxpool.NewWithConfig(t.Context(), pc)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		var log bytes.Buffer
		c := testclient.Open(t, repo.Config{Pool: pool, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		require.NoError(t, c.APIKeys.GetAllAPIKeys(t.Context(), apikeys.Filters{}).Err())
		require.Equal(t, meter == nil, strings.Count(log.String(), "no strategy.Meter") == 1)
		require.Equal(t, meter == nil, len(c.Monitoring.Process(t.Context()).Queries) == 0)
		require.Positive(t, c.Monitoring.Process(t.Context()).Pool.Acquires, "the use of connections is known either way")
	}
}

func TestCloseTwiceAndCallsAfterIt(t *testing.T) {
	t.Parallel()
	c := testclient.Open(t, testclient.Config(t))
	require.NoError(t, c.Close(context.Background()))
	require.NoError(t, c.Close(context.Background()))
	require.ErrorIs(t, c.APIKeys.GetAllAPIKeys(t.Context(), apikeys.Filters{}).Err(), result.ConnectionFailed)
	require.ErrorIs(t, c.APIKeys.ValidateAPIKey(t.Context(), apikeys.HashPlaintext("x")).Err(), result.ConnectionFailed)
	require.Error(t, c.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n"}).Err())
}

func TestCloseSaysWhatStillRuns(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	pool := testdb.Pool(t, cfg.DatabaseURL)
	c, err := repo.Open(t.Context(), cfg)
	require.NoError(t, err)
	k, err := c.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n"}).Get()
	require.NoError(t, err)
	blocker, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = blocker.Exec(t.Context(), "SELECT FROM api_keys FOR UPDATE")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- c.APIKeys.DeleteAPIKey(context.Background(), k.ID).Err() }()
	require.Eventually(t, func() bool {
		var waiting int
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) OR (NOT granted AND locktype = 'transactionid')").Scan(&waiting))
		return waiting > 0
	}, time.Minute, time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorContains(t, c.Close(ctx), "database connections still in use")
	require.NoError(t, blocker.Rollback(t.Context()))
	require.NoError(t, <-done, "a call that was running ends as it would have")
}
