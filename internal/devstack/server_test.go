package devstack

import (
	"context"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// What was acknowledged before a crash is there after it, at the same address.
func TestKilledPostgresStartsOnItsData(t *testing.T) {
	t.Parallel()
	s := start(t, Options{SkipRedis: true})
	for round, sig := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGKILL} {
		conn, err := pgx.Connect(t.Context(), s.DatabaseURL)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS kept AS SELECT 'kept' AS value")
		require.NoError(t, err)
		s.Postgres.Kill(sig)
		s.Postgres.Kill(sig) // of one that has ended does nothing
		require.Empty(t, s.PIDs(), round)
		require.Eventually(t, func() bool { return conn.Ping(t.Context()) != nil }, time.Minute, time.Millisecond, "a backend outlives its postmaster for a moment")
		require.NoError(t, s.Postgres.Start(t.Context()))
		require.Equal(t, "kept", query(t, s.DatabaseURL, "SELECT value FROM kept"))
	}
	pids := s.PIDs()
	require.Len(t, pids, 1)
	require.NoError(t, s.Postgres.Start(t.Context()))
	require.Equal(t, pids, s.PIDs(), "a running server is left alone")
}

func TestKilledRedisStartsOnItsData(t *testing.T) {
	t.Parallel()
	s := start(t, Options{SkipPostgres: true})
	client := redisClient(t, s.RedisURL)
	require.NoError(t, client.Do(t.Context(), client.B().Set().Key("k").Value("kept").Build()).Error())
	s.Redis.Kill(syscall.SIGKILL)
	require.Empty(t, s.PIDs())
	require.NoError(t, s.Redis.Start(t.Context()))
	require.Equal(t, "kept", get(t, s.RedisURL))
	require.NoError(t, s.Redis.Pause())
	s.Redis.Kill(syscall.SIGKILL)
	require.NoError(t, s.Redis.Start(t.Context()))
	require.Equal(t, "kept", get(t, s.RedisURL))
}

// Somebody has the port: Start waits for it, and says why it does not come up.
func TestServerWaitsForItsPort(t *testing.T) {
	t.Parallel()
	s := start(t, Options{SkipPostgres: true})
	u, err := url.Parse(s.RedisURL)
	require.NoError(t, err)
	s.Redis.Kill(syscall.SIGKILL)
	l, err := net.Listen("tcp", u.Host)
	require.NoError(t, err)
	started := make(chan error)
	go func() { started <- s.Redis.Start(t.Context()) }()
	require.Eventually(t, func() bool {
		return strings.Contains(tail(filepath.Join(s.Dir, "redis.log")), "Address already in use")
	},
		patience, time.Millisecond)
	require.NoError(t, l.Close())
	require.NoError(t, <-started)
}

func TestPausedServerGoesOn(t *testing.T) {
	t.Parallel()
	s := start(t, Options{SkipPostgres: true})
	require.NoError(t, s.Redis.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	require.ErrorIs(t, s.Redis.Start(ctx), context.DeadlineExceeded)
	require.NoError(t, s.Redis.Resume())
	require.NoError(t, s.Redis.Start(t.Context()))
}

// A backend's crash makes PostgreSQL recover by itself.
func TestPostgresAnswersAfterABackendsCrash(t *testing.T) {
	t.Parallel()
	s := start(t, Options{SkipRedis: true})
	conn, err := pgx.Connect(t.Context(), s.DatabaseURL)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(int(conn.PgConn().PID()), syscall.SIGKILL))
	require.Eventually(t, func() bool { return conn.Ping(t.Context()) != nil }, patience, 1)
	require.NoError(t, s.Postgres.Start(t.Context()))
	require.Len(t, s.PIDs(), 1)
}

func get(t *testing.T, url string) string {
	t.Helper()
	client := redisClient(t, url)
	value, err := client.Do(t.Context(), client.B().Get().Key("k").Build()).ToString()
	require.NoError(t, err)
	return value
}
