package devstack

import (
	"context"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
)

// What was committed, or set, is there after a kill, at the same address.
func TestKilledServersStartOnTheirData(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	conn, err := pgx.Connect(t.Context(), s.DatabaseURL)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 'kept' AS value")
	require.NoError(t, err)
	set(t, s.RedisURL, "kept")
	for range 2 {
		before := s.PIDs()
		require.Len(t, before, 2)
		s.Postgres.Kill()
		s.Redis.Kill()
		require.Empty(t, s.PIDs())
		require.Error(t, conn.Ping(t.Context()))
		require.NoError(t, s.Postgres.Start(t.Context()))
		require.NoError(t, s.Redis.Start(t.Context()))
		require.NotEqual(t, before, s.PIDs())
		require.Equal(t, "kept", query(t, s.DatabaseURL, "SELECT value FROM kept"))
		require.Equal(t, "kept", get(t, s.RedisURL))
	}
}

func TestPausedServerGoesOn(t *testing.T) {
	t.Parallel()
	s := start(t, Options{SkipPostgres: true})
	require.NoError(t, s.Redis.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	require.ErrorIs(t, s.Redis.Await(ctx), context.DeadlineExceeded)
	require.NoError(t, s.Redis.Resume())
	require.NoError(t, s.Redis.Await(t.Context()))
	set(t, s.RedisURL, "kept")
	require.NoError(t, s.Redis.Pause())
	s.Redis.Kill()
	require.NoError(t, s.Redis.Start(t.Context()))
	require.Equal(t, "kept", get(t, s.RedisURL))
}

// A backend's crash makes PostgreSQL recover by itself.
func TestPostgresAnswersAfterABackendsCrash(t *testing.T) {
	t.Parallel()
	s := start(t, Options{SkipRedis: true})
	conn, err := pgx.Connect(t.Context(), s.DatabaseURL)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(int(conn.PgConn().PID()), syscall.SIGKILL))
	require.Eventually(t, func() bool { return conn.Ping(t.Context()) != nil }, patience, 1)
	require.NoError(t, s.Postgres.Await(t.Context()))
	require.Len(t, s.PIDs(), 1)
}

func redis(t *testing.T, url string) rueidis.Client {
	t.Helper()
	option, err := rueidis.ParseURL(url)
	require.NoError(t, err)
	client, err := rueidis.NewClient(option)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func set(t *testing.T, url, value string) {
	t.Helper()
	client := redis(t, url)
	require.NoError(t, client.Do(t.Context(), client.B().Set().Key("k").Value(value).Build()).Error())
}

func get(t *testing.T, url string) string {
	t.Helper()
	client := redis(t, url)
	value, err := client.Do(t.Context(), client.B().Get().Key("k").Build()).ToString()
	require.NoError(t, err)
	return value
}
