package sessions_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// A row by hand that the library could not read is refused: it would spoil every
// list that it stands in.
func TestTheTableRefusesWhatTheLibraryCannotRead(t *testing.T) {
	b := setup(t, uncached)
	for _, values := range []string{
		`sha256('a'), 'u', 'user', '{}', now(), 'infinity'`, `sha256('a'), 'u', 'user', '{}', '-infinity', now()`,
		`sha256('a'), 'u', 'root', '{}', now(), now()`, `sha256('a'), '', 'user', '{}', now(), now()`,
		`sha256('a'), repeat('é', 129), 'user', '{}', now(), now()`, `sha256('a'), 'u', 'user', '[]', now(), now()`,
		`'\x00', 'u', 'user', '{}', now(), now()`,
	} {
		_, err := b.pool.Exec(b.ctx(), "INSERT INTO sessions (id, token_hash, user_id, user_type, session_data, created_at, expires_at) VALUES (gen_random_uuid(), "+values+")")
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg, values)
		require.Equal(t, "23514", pg.Code, values)
	}
}

// A session's own temporary table must not swallow what caches have to hear.
func TestTemporaryTablesDoNotShadowTheOutbox(t *testing.T) {
	b := setup(t, uncached)
	b.create(alice())
	conn, err := b.pool.Acquire(b.ctx())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(b.ctx(), "DELETE FROM cache_outbox; CREATE TEMP TABLE cache_outbox (kind text, key bytea); DELETE FROM sessions")
	require.NoError(t, err)
	require.Equal(t, 1, b.number("SELECT count(*) FROM public.cache_outbox"))
}
