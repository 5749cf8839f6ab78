package devstack

import (
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
)

// What was acknowledged before a crash is there after it, under the old address.
func TestRestartPostgres(t *testing.T) {
	t.Parallel()
	s := start(t, Options{SkipRedis: true})
	for round, sig := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGKILL} {
		conn, err := pgx.Connect(t.Context(), s.DatabaseURL)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS kept AS SELECT 'kept' AS value")
		require.NoError(t, err)
		s.Kill(sig)
		require.Empty(t, s.PIDs(), round)
		require.Error(t, conn.Ping(t.Context()))
		require.NoError(t, s.Restart(t.Context()))
		require.Equal(t, "kept", query(t, s.DatabaseURL, "SELECT value FROM kept"))
	}
	require.Len(t, s.PIDs(), 1)
}

func TestRestartRedis(t *testing.T) {
	t.Parallel()
	s := start(t, Options{SkipPostgres: true})
	option, err := rueidis.ParseURL(s.RedisURL)
	require.NoError(t, err)
	client, err := rueidis.NewClient(option)
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.Do(t.Context(), client.B().Set().Key("k").Value("kept").Build()).Error())
	s.Kill(syscall.SIGKILL)
	require.NoError(t, s.Restart(t.Context()))
	value, err := client.Do(t.Context(), client.B().Get().Key("k").Build()).ToString()
	require.NoError(t, err)
	require.Equal(t, "kept", value)
}
