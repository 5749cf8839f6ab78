package devstack

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Clients of a pooler share connections, so that none has a statement that another
// one prepared.
func TestPooler(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	p, err := s.AddPooler(t.Context(), s.DatabaseURL)
	require.NoError(t, err)
	pid := func() (pid uint32) {
		conn, err := pgx.Connect(t.Context(), p.DatabaseURL)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(t.Context()) })
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT pg_backend_pid()", pgx.QueryExecModeExec).Scan(&pid))
		require.NotEqual(t, conn.PgConn().PID(), pid, "it is the pooler's own")
		return pid
	}
	first := pid()
	require.Equal(t, first, pid())
}
