package result_test

import (
	"encoding/json"
	"fmt"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// secrets stand in the URLs below; none may be seen.
var secrets = []string{"s3cr3t-password", "s3cr3t-user", "s3cr3t-database", "s3cr3t.invalid", "127.0.0.1"}

func requireClean(t *testing.T, err error, want ...result.Code) {
	t.Helper()
	require.Error(t, err)
	e := result.From(fmt.Errorf("outer: %w", err))
	if len(want) > 0 {
		require.Equal(t, want[0], e.Code, "%v", err)
	}
	bare, jsonErr := json.Marshal(e)
	require.NoError(t, jsonErr)
	envelope, jsonErr := json.Marshal(result.Fail[int](err))
	require.NoError(t, jsonErr)
	for _, shown := range []string{
		e.Error(), string(bare), string(envelope), fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", *e), fmt.Sprintf("%+v", result.Fail[int](err)),
		fmt.Sprintf("%+v", result.StatusOf(err)), fmt.Sprintf("%q", e.Unwrap()),
	} {
		for _, secret := range secrets {
			require.NotContains(t, shown, secret)
		}
	}
}

// refusing is a PostgreSQL server that answers each connection with an error.
func refusing(t *testing.T, state string) string {
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
			backend := pgproto3.NewBackend(conn, conn)
			if _, err := backend.ReceiveStartupMessage(); err == nil {
				backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: state,
					Message: `password authentication failed for user "s3cr3t-user"`, Detail: "s3cr3t-password", ConstraintName: ""})
				_ = backend.Flush()
			}
			_ = conn.Close()
		}
	}()
	return databaseURL(l.Addr().String())
}

func databaseURL(address string) string {
	return "postgres://s3cr3t-user:s3cr3t-password@" + address + "/s3cr3t-database?sslmode=disable"
}

// closedPort is where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

func TestConnectErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]result.Code{
		"28P01": result.ConnectionFailed, "28000": result.ConnectionFailed, "3D000": result.ConnectionFailed,
		"53300": result.PoolExhausted, "57P03": result.ConnectionFailed, "XX000": result.Internal,
	} {
		_, err := pgx.Connect(t.Context(), refusing(t, state))
		requireClean(t, err, want)
	}
	_, err := pgx.Connect(t.Context(), databaseURL(closedPort(t)))
	requireClean(t, err, result.ConnectionFailed)
	_, err = pgx.Connect(t.Context(), databaseURL("s3cr3t.invalid:1"))
	requireClean(t, err, result.ConnectionFailed)
	pool, err := pgxpool.New(t.Context(), databaseURL(closedPort(t)))
	require.NoError(t, err)
	defer pool.Close()
	requireClean(t, pool.Ping(t.Context()), result.ConnectionFailed)
}

func TestURLErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	_, err := pgconn.ParseConfig("postgres://s3cr3t-user:s3cr3t-password@127.0.0.1:port/s3cr3t-database")
	requireClean(t, err)
	_, err = rueidis.ParseURL("redis://s3cr3t-user:s3cr3t-password@127.0.0.1:port")
	requireClean(t, err)
	_, err = rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{closedPort(t)}, Username: "s3cr3t-user", Password: "s3cr3t-password"})
	requireClean(t, err, result.ConnectionFailed)
}

func TestStatementErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	requireClean(t, &pgconn.PgError{Code: "23505", Message: "s3cr3t-user", Detail: "Key (k)=(s3cr3t-password)", Hint: "127.0.0.1",
		InternalQuery: "s3cr3t-database", Where: "s3cr3t-user"}, result.DuplicateKey)
}
