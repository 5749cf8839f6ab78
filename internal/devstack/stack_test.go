package devstack

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
)

func start(t *testing.T, o Options) *Stack {
	t.Helper()
	s, err := Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	var value string
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&value))
	return value
}

func TestStartPostgres(t *testing.T) {
	t.Parallel()
	s := start(t, Options{SkipRedis: true})
	require.Empty(t, s.RedisURL)
	require.Len(t, s.PIDs(), 1)
	for sql, want := range map[string]string{
		"SELECT current_database()": "relaystore",
		"SHOW fsync":                "on",
		"SHOW listen_addresses":     "",
		"SHOW max_connections":      "200",
		"SHOW server_encoding":      "UTF8",
		"SELECT count(*)::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'public'": "0",
	} {
		require.Equal(t, want, query(t, s.DatabaseURL, sql), sql)
	}
}

func TestStatStatements(t *testing.T) {
	t.Parallel()
	s := start(t, Options{SkipRedis: true})
	conn, err := pgx.Connect(t.Context(), s.DatabaseURL)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	_, err = conn.Exec(t.Context(), "CREATE EXTENSION pg_stat_statements")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "SELECT 12345 AS wanted")
	require.NoError(t, err)
	require.Equal(t, "1", query(t, s.DatabaseURL,
		"SELECT calls::text FROM pg_stat_statements WHERE query LIKE 'SELECT $1 AS wanted'"))
}

func TestStartRedis(t *testing.T) {
	t.Parallel()
	s := start(t, Options{SkipPostgres: true})
	require.Empty(t, s.DatabaseURL)
	option, err := rueidis.ParseURL(s.RedisURL)
	require.NoError(t, err)
	client, err := rueidis.NewClient(option)
	require.NoError(t, err)
	defer client.Close()
	for name, want := range map[string]string{"appendonly": "yes", "appendfsync": "always", "save": "", "bind": "127.0.0.1"} {
		got, err := client.Do(t.Context(), client.B().ConfigGet().Parameter(name).Build()).AsStrMap()
		require.NoError(t, err)
		require.Equal(t, want, got[name], name)
	}
	require.NoError(t, client.Do(t.Context(), client.B().Set().Key("k").Value("v").Build()).Error())
}

func TestRedisWantsPassword(t *testing.T) {
	t.Parallel()
	s := start(t, Options{SkipPostgres: true})
	option, err := rueidis.ParseURL(s.RedisURL)
	require.NoError(t, err)
	option.Password = "another"
	_, err = rueidis.NewClient(option)
	require.Error(t, err)
}

func TestClose(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	pids := s.PIDs()
	require.Len(t, pids, 2)
	require.DirExists(t, s.Dir)
	require.NoError(t, s.Close())
	require.NoDirExists(t, s.Dir)
	require.Empty(t, processesIn(s.Dir))
	require.Empty(t, s.PIDs())
	for _, pid := range pids {
		require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
	}
	require.NoError(t, s.Close())
}

// Not by SIGKILL: it would leave PostgreSQL's shared memory on the machine.
func TestCloseAfterServersEnded(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for _, p := range s.servers {
		p.signal()
	}
	for _, p := range s.servers {
		<-p.done
	}
	require.Empty(t, s.PIDs())
	require.NoError(t, s.Close())
	require.NoDirExists(t, s.Dir)
}

func TestCloseStoppedServers(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for _, pid := range s.PIDs() {
		require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	}
	require.NoError(t, s.Close())
	require.NoDirExists(t, s.Dir)
}

func TestStartNothing(t *testing.T) {
	t.Parallel()
	s := start(t, Options{SkipPostgres: true, SkipRedis: true})
	require.Empty(t, s.Dir)
	require.Empty(t, s.PIDs())
	require.NoError(t, s.Close())
}

func TestPrivateFolder(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	info, err := os.Stat(s.Dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	require.FileExists(t, filepath.Join(s.Dir, "postgres.log"))
	require.FileExists(t, filepath.Join(s.Dir, "redis.log"))
}
