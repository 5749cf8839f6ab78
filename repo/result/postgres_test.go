package result_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// server is one empty database with a table to break rules on.
type server struct {
	t    *testing.T
	url  string
	pool *pgxpool.Pool
}

func setup(t *testing.T) server {
	t.Helper()
	databaseURL := testdb.EmptyURL(t)
	s := server{t, databaseURL, testdb.Pool(t, databaseURL)}
	s.must("CREATE TABLE things (id int PRIMARY KEY, size int NOT NULL CONSTRAINT positive CHECK (size > 0))")
	s.must("INSERT INTO things VALUES (1, 1), (2, 1)")
	return s
}

func (s server) must(sql string) {
	s.t.Helper()
	_, err := s.pool.Exec(s.t.Context(), sql)
	require.NoError(s.t, err)
}

func (s server) conn() *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.url)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// waits blocks until a connection waits in the server: for a lock, or asleep.
func (s server) waits(conn *pgx.Conn, event string) {
	s.t.Helper()
	for waiting := false; !waiting; {
		err := s.pool.QueryRow(s.t.Context(), "SELECT coalesce(wait_event_type || wait_event ~ $2, false) FROM pg_stat_activity WHERE pid = $1",
			conn.PgConn().PID(), event).Scan(&waiting)
		require.NoError(s.t, err)
	}
}

func TestStatements(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, test := range []struct {
		sql        string
		want       result.Code
		constraint string
	}{
		{"INSERT INTO things VALUES (1, 1)", result.DuplicateKey, "things_pkey"},
		{"INSERT INTO things VALUES (3, 0)", result.ConstraintViolation, "positive"},
		{"INSERT INTO things VALUES (3, NULL)", result.ConstraintViolation, ""},
		{"SELECT 'x'::int", result.InvalidQuery, ""},
		{"SELECT 1/0", result.InvalidQuery, ""},
		{"SELECT 99999999999999999999::bigint", result.InvalidQuery, ""},
		{"SELECT E'a\\x00b'", result.InvalidQuery, ""},
		{"SELECT * FROM missing", result.Internal, ""},
		{"SELEC", result.Internal, ""},
		{"BEGIN READ ONLY; INSERT INTO things VALUES (3, 1)", result.ReadOnly, ""},
		{"BEGIN; SELECT 1/0", result.InvalidQuery, ""},
		{"VACUUM; SELECT 1", result.TransactionClosed, ""},
		{"SET statement_timeout = '10ms'; SELECT pg_sleep(60)", result.QueryTimeout, ""},
		{"SET idle_in_transaction_session_timeout = 0; DO $$ BEGIN RAISE EXCEPTION 'secret'; END $$", result.Internal, ""},
	} {
		_, err := s.conn().Exec(t.Context(), test.sql)
		e := result.From(err)
		require.Equal(t, test.want, e.Code, test.sql)
		require.Equal(t, test.constraint, e.Constraint, test.sql)
		require.NotContains(t, e.Error(), "secret")
	}
}

func TestAbortedTransaction(t *testing.T) {
	t.Parallel()
	s := setup(t)
	tx, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT 1/0")
	require.Equal(t, result.InvalidQuery, result.From(err).Code)
	_, err = tx.Exec(t.Context(), "SELECT 1")
	require.Equal(t, result.TransactionClosed, result.From(err).Code)
	require.Equal(t, result.TransactionClosed, result.From(tx.Commit(t.Context())).Code)
	require.Equal(t, result.TransactionClosed, result.From(tx.Commit(t.Context())).Code)
}

func TestSerializationFailure(t *testing.T) {
	t.Parallel()
	s := setup(t)
	tx, err := s.pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	require.NoError(t, err)
	defer tx.Rollback(t.Context()) //nolint:errcheck // it has failed
	_, err = tx.Exec(t.Context(), "SELECT * FROM things")
	require.NoError(t, err)
	s.must("UPDATE things SET size = 2")
	_, err = tx.Exec(t.Context(), "UPDATE things SET size = 3")
	require.Equal(t, result.TransactionConflict, result.From(err).Code)
}

func TestDeadlock(t *testing.T) {
	t.Parallel()
	s := setup(t)
	first, second := s.conn(), s.conn()
	lock := func(c *pgx.Conn, id int) error {
		_, err := c.Exec(t.Context(), "UPDATE things SET size = size + 1 WHERE id = $1", id)
		return err
	}
	for i, c := range []*pgx.Conn{first, second} {
		_, err := c.Exec(t.Context(), "BEGIN")
		require.NoError(t, err)
		require.NoError(t, lock(c, i+1))
	}
	done := make(chan error, 1)
	go func() { done <- lock(first, 2) }()
	s.waits(first, "^Lock")
	errs := []error{lock(second, 1)}
	if errs[0] != nil { // the server chose it; the other one goes on once it is gone
		_, err := second.Exec(t.Context(), "ROLLBACK")
		require.NoError(t, err)
	}
	errs = append(errs, <-done)
	failed := errs[0]
	if failed == nil {
		failed = errs[1]
	}
	require.Equal(t, result.TransactionConflict, result.From(failed).Code, "%v", errs)
}

func TestLockTimeout(t *testing.T) {
	t.Parallel()
	s := setup(t)
	holder := s.conn()
	_, err := holder.Exec(t.Context(), "BEGIN; LOCK TABLE things")
	require.NoError(t, err)
	_, err = s.conn().Exec(t.Context(), "SET lock_timeout = '10ms'; SELECT * FROM things")
	require.Equal(t, result.QueryTimeout, result.From(err).Code)
}

func TestCancelledAndOverdueStatements(t *testing.T) {
	t.Parallel()
	s := setup(t)
	conn := s.conn()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, "SELECT pg_sleep(60)")
		done <- err
	}()
	s.waits(conn, "PgSleep")
	cancel()
	e := result.From(<-done)
	require.Equal(t, result.Cancelled, e.Code)
	require.ErrorIs(t, e, context.Canceled)

	ctx, cancel = context.WithTimeout(t.Context(), 1)
	defer cancel()
	_, err := s.conn().Exec(ctx, "SELECT pg_sleep(60)")
	e = result.From(err)
	require.Equal(t, result.QueryTimeout, e.Code)
	require.ErrorIs(t, e, context.DeadlineExceeded)
}

// Somebody else's pg_cancel_backend looks like statement_timeout.
func TestCancelledBackend(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for function, want := range map[string]result.Code{"pg_cancel_backend": result.QueryTimeout, "pg_terminate_backend": result.ConnectionFailed} {
		conn := s.conn()
		done := make(chan error, 1)
		go func() {
			_, err := conn.Exec(t.Context(), "SELECT pg_sleep(60)")
			done <- err
		}()
		s.waits(conn, "PgSleep")
		s.must(fmt.Sprintf("SELECT %s(%d)", function, conn.PgConn().PID()))
		require.Equal(t, want, result.From(<-done).Code, function)
	}
}

func TestTerminatedIdleConnection(t *testing.T) {
	t.Parallel()
	s := setup(t)
	conn := s.conn()
	s.must(fmt.Sprintf("SELECT pg_terminate_backend(%d, 60000)", conn.PgConn().PID()))
	for range 2 { // the second finds it closed
		_, err := conn.Exec(t.Context(), "SELECT 1")
		require.Equal(t, result.ConnectionFailed, result.From(err).Code, "%v", err)
	}
}

func TestRefusedConnections(t *testing.T) {
	t.Parallel()
	s := setup(t)
	role := "relaystore_test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	s.must("CREATE ROLE " + role + " LOGIN CONNECTION LIMIT 0 PASSWORD 'some-password'")
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), s.url)
		require.NoError(t, err)
		defer conn.Close(context.Background())
		_, err = conn.Exec(context.Background(), "DROP ROLE "+role)
		require.NoError(t, err)
	})
	for name, test := range map[string]struct {
		change func(*url.URL)
		want   result.Code
	}{
		"no such database":     {func(u *url.URL) { u.Path += "_missing" }, result.ConnectionFailed},
		"no such role":         {func(u *url.URL) { u.User = url.UserPassword(role+"_missing", "wrong-password") }, result.ConnectionFailed},
		"too many connections": {func(u *url.URL) { u.User = url.UserPassword(role, "some-password") }, result.PoolExhausted},
	} {
		u, err := url.Parse(s.url)
		require.NoError(t, err)
		test.change(u)
		_, err = pgx.Connect(t.Context(), u.String())
		require.Equal(t, test.want, result.From(err).Code, name)
	}
}

func TestClosedPool(t *testing.T) {
	t.Parallel()
	s := setup(t)
	pool, err := pgxpool.New(t.Context(), s.url)
	require.NoError(t, err)
	pool.Close()
	require.Equal(t, result.ConnectionFailed, result.From(pool.Ping(t.Context())).Code)
}

// Why nobody gets in, in words that hold no part of the URL.
func TestWhyAConnectionFails(t *testing.T) {
	t.Parallel()
	at, err := url.Parse(testdb.EmptyURL(t))
	require.NoError(t, err)
	for why, change := range map[string]func(*url.URL){
		"it refused the login":            func(u *url.URL) { u.User = url.UserPassword("nobody", "hunter2") },
		"it has no database of that name": func(u *url.URL) { u.Path = "/nothing" },
		"nothing listens at its port": func(u *url.URL) {
			u.Host, u.RawQuery = "127.0.0.1:1", "sslmode=disable"
		},
		"its host's name is not known": func(u *url.URL) { u.Host, u.RawQuery = "nowhere.invalid:5432", "sslmode=disable" },
	} {
		u := *at
		change(&u)
		_, err := pgx.Connect(t.Context(), u.String())
		require.EqualError(t, result.From(err), "DB_CONNECTION_FAILED: the database cannot be reached: "+why)
	}
}
