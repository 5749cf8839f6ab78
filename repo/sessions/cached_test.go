package sessions_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// longFresh lets a clock be moved by minutes without making caches stale.
func longFresh(c *repo.Config) { c.MaxStaleness = 10 * time.Minute }

func TestHitsAskNobody(t *testing.T) {
	b := setup(t, longFresh)
	token := b.create(alice())
	b.warm(b.process, token)
	before := b.reads.Load()
	for range 100 {
		require.True(t, b.says(b.process, token).IsValid)
	}
	require.Equal(t, before, b.reads.Load())
	fresh := b.open(b.cfg)
	require.True(t, b.says(fresh, token).IsValid)
	require.LessOrEqual(t, fresh.reads.Load(), int64(1), "a miss asks once")
	garbage := hashOf("garbage")
	before = b.reads.Load()
	require.True(t, b.unknown(b.process, garbage))
	require.LessOrEqual(t, b.reads.Load(), before+1)
	before = b.reads.Load()
	require.True(t, b.unknown(b.process, garbage))
	require.Equal(t, before, b.reads.Load(), "unknown tokens are known, too")
}

// Whatever changes or ends a session: the writer's process never gives the older
// one, and the others stop giving it, in psql by hand included. No staleness bound
// helps here.
func TestChangesAreSeenEverywhere(t *testing.T) {
	b := setup(t, longFresh)
	other := b.open(b.cfg)
	id := func() string {
		page, err := b.ListSessions(b.ctx(), sessions.Filters{Limit: 1}).Get()
		require.NoError(t, err)
		return page.Sessions[0].ID
	}
	updated := func(p *process, token string) bool {
		v, err := p.ValidateSession(b.ctx(), token).Get()
		return err == nil && string(v.SessionData) == `{"new":1}`
	}
	extended := func(p *process, token string) bool {
		v, err := p.ValidateSession(b.ctx(), token).Get()
		return err == nil && time.Until(v.ExpiresAt) > 300*24*time.Hour
	}
	gone := func(p *process, token string) bool { return b.unknown(p, token) }
	for name, c := range map[string]struct {
		change func(token string) error
		after  func(*process, string) bool
		hand   bool
	}{
		"update": {func(token string) error {
			return b.UpdateSession(b.ctx(), token, sessions.Patch{SessionData: json.RawMessage(`{"new":1}`)}).Err()
		}, updated, false},
		"extend": {func(token string) error {
			return b.UpdateSession(b.ctx(), token, sessions.Patch{ExtendTTL: 365 * 24 * time.Hour}).Err()
		}, extended, false},
		"delete":      {func(token string) error { return b.DeleteSession(b.ctx(), token).Err() }, gone, false},
		"revoke":      {func(string) error { return b.RevokeSession(b.ctx(), id()).Err() }, gone, false},
		"revoke user": {func(string) error { return b.RevokeUserSessions(b.ctx(), "alice").Err() }, gone, false},
		"update by hand": {func(string) error {
			b.exec(`UPDATE sessions SET session_data = '{"new":1}'`)
			return nil
		}, updated, true},
		"delete by hand": {func(string) error {
			b.exec("DELETE FROM sessions")
			return nil
		}, gone, true},
	} {
		token := b.create(alice())
		b.warm(b.process, token)
		b.warm(other, token)
		require.NoError(t, c.change(token), name)
		if !c.hand {
			require.True(t, c.after(b.process, token), name)
		}
		b.becomes(func() bool { return c.after(b.process, token) && c.after(other, token) })
	}
}

// Somebody was told that a token is unknown before its session was put there by
// hand, as an import does. A session that is created tells nobody: no one can have
// asked for it.
func TestAnImportedSessionIsKnownAtOnce(t *testing.T) {
	b := setup(t, longFresh)
	token := hashOf("as good as any")
	b.becomes(func() bool { // it is known to be unknown
		before := b.reads.Load()
		return b.unknown(b.process, token) && b.reads.Load() == before
	})
	b.exec(`INSERT INTO sessions (id, token_hash, user_id, user_type, session_data, created_at, expires_at)
		VALUES (gen_random_uuid(), sha256($1::text::bytea), 'u', 'user', '{}', now() - interval '1 hour', now() + interval '1 hour')`, token)
	b.becomes(func() bool { return !b.unknown(b.process, token) })
	b.told()
	last := "SELECT last_value FROM cache_outbox_id_seq"
	before := b.number(last)
	b.create(alice())
	require.Equal(t, before, b.number(last))
}

// A cleanup tells no cache, and none goes on saying that the session is stored.
func TestACleanedSessionIsUnknownEverywhere(t *testing.T) {
	b := setup(t, longFresh)
	other := b.open(b.cfg)
	now := stop(b.process, other)
	data := alice()
	data.TTL = time.Minute
	token := b.create(data)
	b.warm(b.process, token)
	b.warm(other, token)
	b.exec("ALTER TABLE sessions DISABLE TRIGGER USER") // as if it had ended a while ago for PostgreSQL's clock
	now.move(time.Minute)
	require.False(t, b.says(other, token).IsValid)
	require.NoError(t, b.CleanupExpiredSessions(b.ctx()).Err())
	for _, p := range []*process{b.process, other} {
		require.True(t, b.unknown(p, token))
		b.becomes(func() bool {
			before := p.reads.Load()
			require.True(t, b.unknown(p, token))
			return p.reads.Load() == before // it has become one of the unknown ones
		})
	}
}

// An extension that this process has not heard of is found at the primary: no
// session is said to have ended that has not.
func TestAnExtensionIsNotMissed(t *testing.T) {
	b := setup(t, longFresh)
	now := stop(b.process)
	data := alice()
	data.TTL = time.Minute
	token := b.create(data)
	b.warm(b.process, token)
	b.exec("ALTER TABLE sessions DISABLE TRIGGER USER; UPDATE sessions SET expires_at = expires_at + interval '1 hour'")
	now.move(time.Minute)
	require.True(t, b.says(b.process, token).IsValid)
}

// PostgreSQL is silent: what is cached goes on, and an ended session has ended.
func TestPostgresIsSilent(t *testing.T) {
	b := setup(t, longFresh)
	proxy, url := faultproxy.Postgres(t, b.cfg.DatabaseURL)
	cfg := b.cfg
	cfg.DatabaseURL, cfg.OpTimeout = url, 300*time.Millisecond
	p := b.open(cfg)
	t.Cleanup(proxy.Cut) // what waits for it must end
	now := stop(b.process, p)
	data := alice()
	data.TTL = time.Minute
	token, large := b.create(data), b.withData(strings.Repeat(" ", sessions.KeptData)+"{}")
	b.warm(p, token)
	b.says(p, large)
	proxy.Stall()
	require.True(t, b.says(p, token).IsValid)
	now.move(time.Minute)
	v := b.says(p, token)
	require.False(t, v.IsValid)
	require.JSONEq(t, `{"theme":"dark"}`, string(v.SessionData))
	for _, not := range []string{large, hashOf("never seen")} {
		err := p.ValidateSession(b.ctx(), not).Err()
		require.Error(t, err)
		require.NotErrorIs(t, err, result.RecordNotFound)
		require.NotErrorIs(t, err, result.Internal)
	}
}

// Many callers of one ended session make one look-up.
func TestCallersOfAnEndedSessionShare(t *testing.T) {
	b := setup(t, longFresh)
	now := stop(b.process)
	data := alice()
	data.TTL = time.Minute
	token := b.create(data)
	b.warm(b.process, token)
	now.move(time.Minute)
	tx, err := b.pool.Begin(b.ctx())
	require.NoError(t, err)
	defer tx.Rollback(b.ctx()) //nolint:errcheck // done before, unless the test has failed
	_, err = tx.Exec(b.ctx(), "LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	var callers, started sync.WaitGroup
	for range 50 {
		started.Add(1)
		callers.Go(func() {
			started.Done()
			v, err := b.ValidateSession(b.ctx(), token).Get()
			if err != nil || v.IsValid {
				t.Error("an ended session", err)
			}
		})
	}
	started.Wait()
	const waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'sessions'::regclass"
	b.becomes(func() bool { return b.number(waiting) > 0 })
	for range 20 {
		require.Equal(t, 1, b.number(waiting))
	}
	require.NoError(t, tx.Rollback(b.ctx()))
	callers.Wait()
}
