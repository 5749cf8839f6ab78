package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// sessionsPlace is a gateway with sessions, and the commands' environment.
type sessionsPlace struct {
	*testing.T
	*sessions.Repo

	env  []string
	pool *pgxpool.Pool
}

func setupSessions(t *testing.T) *sessionsPlace {
	t.Helper()
	t.Parallel()
	cfg := testclient.Config(t)
	env := []string{
		"DATABASE_URL=" + cfg.DatabaseURL, "REDIS_URL=" + cfg.RedisURL, "RELAYSTORE_KEY_PREFIX=" + cfg.KeyPrefix, "RELAYSTORE_DIRECT_URL=",
	}
	return &sessionsPlace{T: t, Repo: testclient.Open(t, cfg).Sessions, env: env, pool: testdb.Pool(t, cfg.DatabaseURL)}
}

func (s *sessionsPlace) create(user string) (token string) {
	s.Helper()
	c, err := s.CreateSession(s.Context(), sessions.Data{UserID: user, UserType: sessions.User, SessionData: json.RawMessage(`{"secret":1}`), IPAddress: "192.0.2.7"}).Get()
	require.NoError(s, err)
	return c.SessionToken
}

// run gives a command's output and requires its exit code.
func (s *sessionsPlace) run(code int, args ...string) string {
	s.Helper()
	p := relaystore(s.T, s.env, append([]string{"sessions"}, args...)...)
	out, got := p.finish(s.T)
	require.Equal(s, code, got, p.errors.String())
	return out
}

func (s *sessionsPlace) listed(args ...string) []sessions.Session {
	s.Helper()
	var page sessions.Page
	require.NoError(s, json.Unmarshal([]byte(s.run(exitOK, append([]string{"list", "--json"}, args...)...)), &page))
	return page.Sessions
}

func (s *sessionsPlace) known(token string) bool {
	s.Helper()
	err := s.ValidateSession(s.Context(), token).Err()
	if err != nil {
		require.ErrorIs(s, err, result.RecordNotFound)
	}
	return err == nil
}

func TestSessionsList(t *testing.T) {
	s := setupSessions(t)
	require.Equal(t, "No sessions.\n", s.run(exitOK, "list"))
	require.Equal(t, []sessions.Session{}, s.listed())
	var tokens []string
	for _, user := range []string{"alice", "bob", "alice", "\x1b[2Jeve\nx"} {
		tokens = append(tokens, s.create(user))
	}
	all := s.listed()
	require.Len(t, all, 4)
	require.Equal(t, "192.0.2.7", all[3].IPAddress)
	require.Equal(t, 24*time.Hour, all[3].ExpiresAt.Sub(all[3].CreatedAt))
	require.Equal(t, all[1:2], s.listed("--user", "alice", "--limit", "1"))
	require.Equal(t, all[3:], s.listed("--user", "alice", "--before", all[1].ID))

	table := s.run(exitOK, "list", "--limit", "4")
	for _, want := range []string{all[0].ID, all[3].ID, "alice", "�[2Jeve�x", "192.0.2.7", "There may be more: --before " + all[3].ID} {
		require.Contains(t, table, want)
	}
	require.NotContains(t, table, "\x1b")
	require.NotContains(t, s.run(exitOK, "list"), "There may be more")
	for _, secret := range append(tokens, "secret") {
		require.NotContains(t, table+s.run(exitOK, "list", "--json"), secret)
	}
}

// The gateway is told: it refuses at once, or as soon as it has heard.
func TestSessionsRevoke(t *testing.T) {
	s := setupSessions(t)
	first, second, others := s.create("alice"), s.create("alice"), s.create("bob")
	for _, token := range []string{first, second, others} {
		require.True(t, s.known(token))
	}
	id := s.listed("--user", "alice")[1].ID
	require.Equal(t, "Sessions revoked: 1\n", s.run(exitOK, "revoke", id))
	require.Eventually(t, func() bool { return !s.known(first) }, patience, time.Millisecond)
	p := relaystore(t, s.env, "sessions", "revoke", id)
	_, code := p.finish(t)
	require.Equal(t, exitFailure, code)
	require.Contains(t, p.errors.String(), "DB_RECORD_NOT_FOUND")

	s.create("alice")
	require.JSONEq(t, `{"revokedSessions":2}`, s.run(exitOK, "revoke", "--user", "alice", "--json"))
	require.Eventually(t, func() bool { return !s.known(second) }, patience, time.Millisecond)
	require.Equal(t, "Sessions revoked: 0\n", s.run(exitOK, "revoke", "--user", "alice"))
	require.True(t, s.known(others))
}

// populate puts n sessions there that ended an hour ago.
func (s *sessionsPlace) populate(n int) {
	s.Helper()
	_, err := s.pool.Exec(s.Context(), "ALTER TABLE sessions DISABLE TRIGGER USER")
	require.NoError(s, err)
	_, err = s.pool.Exec(s.Context(), `INSERT INTO sessions (id, token_hash, user_id, user_type, session_data, created_at, expires_at)
		SELECT gen_random_uuid(), sha256(n::text::bytea), 'u', 'user', '{}', now(), now() - interval '1 hour' FROM generate_series(1, $1::int) AS n`, n)
	require.NoError(s, err)
}

func (s *sessionsPlace) count() (n int) {
	s.Helper()
	require.NoError(s, s.pool.QueryRow(s.Context(), "SELECT count(*) FROM sessions").Scan(&n))
	return n
}

func TestSessionsCleanup(t *testing.T) {
	s := setupSessions(t)
	token := s.create("alice")
	s.populate(2_345)
	require.Equal(t, "Sessions deleted: 2345\n", s.run(exitOK, "cleanup"))
	require.JSONEq(t, `{"deletedSessions":0}`, s.run(exitOK, "cleanup", "--json"))
	require.Equal(t, 1, s.count())
	require.True(t, s.known(token))
}

// Ctrl-C while it works: what it says that it has deleted is gone, and the rest is
// there.
func TestSessionsCleanupInterrupted(t *testing.T) {
	s := setupSessions(t)
	const all = 5_000
	s.populate(all)
	// The third batch waits, for as long as the command would let it.
	tx, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF (SELECT count(*) FROM sessions) < 3000 THEN PERFORM pg_advisory_xact_lock(1); END IF; RETURN NULL; END $$;
		CREATE TRIGGER wait AFTER DELETE ON sessions FOR EACH STATEMENT EXECUTE FUNCTION wait()`)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
	blocker, err := s.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer blocker.Release()
	_, err = blocker.Exec(t.Context(), "SELECT pg_advisory_lock(1)")
	require.NoError(t, err)

	p := relaystore(t, s.env, "sessions", "cleanup", "--json")
	require.Eventually(t, func() bool {
		var waiting int
		require.NoError(t, s.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())").Scan(&waiting))
		return waiting > 0
	}, patience, time.Millisecond)
	require.NoError(t, p.Process.Signal(os.Interrupt))
	out, code := p.finish(t)
	require.Equal(t, exitInterrupted, code, p.errors.String())
	require.JSONEq(t, `{"deletedSessions":2000}`, out)
	require.Equal(t, all-2_000, s.count())
}

func TestSessionsRefuseWrongUse(t *testing.T) {
	s := setupSessions(t)
	token := s.create("alice")
	for args, want := range map[string]int{
		"": exitOK, "list x": exitUsage, "list --limit x": exitUsage, "revoke": exitUsage, "revoke a b": exitUsage, "cleanup x": exitUsage, "nonsense": exitUsage,
		"list --limit 1001": exitUsage, "list --limit -1": exitUsage, "list --before x": exitUsage, "revoke x": exitUsage,
		"revoke " + token: exitUsage, "revoke x --user y": exitUsage, "revoke --user=": exitUsage,
	} {
		p := relaystore(t, s.env, append([]string{"sessions"}, strings.Fields(args)...)...)
		_, code := p.finish(t)
		require.Equal(t, want, code, args)
		if want != exitOK {
			require.Regexp(t, `\Arelaystore: [^\n]+\n\z`, p.errors.String(), args)
			require.NotContains(t, p.errors.String(), token)
		}
	}
	require.True(t, s.known(token))
	p := relaystore(t, serverEnv(t, testdb.EmptyURL(t)), "sessions", "list")
	_, code := p.finish(t)
	require.Equal(t, exitNotMigrated, code)
}
