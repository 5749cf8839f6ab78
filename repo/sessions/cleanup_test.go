package sessions_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// populate puts n sessions there that ended (or will end, where ago is negative) at
// different times, past the outbox.
func (b *bundle) populate(n int, user string, ago time.Duration) {
	b.Helper()
	b.exec("ALTER TABLE sessions DISABLE TRIGGER USER")
	b.exec(`INSERT INTO sessions (id, token_hash, user_id, user_type, session_data, created_at, expires_at)
		SELECT gen_random_uuid(), sha256(convert_to(gen_random_uuid()::text, 'UTF8')), $1, 'user', '{}', now(), now() - $2::interval - n * interval '1 ms'
		FROM generate_series(1, $3::int) AS n`, user, ago, n)
	b.exec("ALTER TABLE sessions ENABLE TRIGGER USER")
}

// Four processes clean up at once: each row is counted by one of them, and what has
// not ended stays.
func TestCleanupCountsExactly(t *testing.T) {
	b := setup(t, uncached)
	const ended, live = 7_500, 20
	b.populate(ended, "u", time.Hour)
	b.populate(live, "u", -time.Hour)
	var group sync.WaitGroup
	var mu sync.Mutex
	sum := 0
	for _, p := range []*process{b.process, b.open(b.cfg), b.open(b.cfg), b.open(b.cfg)} {
		group.Go(func() {
			c, err := p.CleanupExpiredSessions(b.ctx()).Get()
			mu.Lock()
			defer mu.Unlock()
			sum += c.DeletedSessions
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	require.Equal(t, ended, sum)
	require.Equal(t, live, b.count())
	c, err := b.CleanupExpiredSessions(b.ctx()).Get()
	require.NoError(t, err)
	require.Zero(t, c.DeletedSessions)
	require.Zero(t, b.number("SELECT count(*) FROM cache_outbox"), "nobody need be told")
}

// What ended just now is told: another process's clock may be late. So is a delete
// by hand of what has not ended.
func TestCleanupTellsOfWhatMayStillBeValid(t *testing.T) {
	b := setup(t, uncached)
	now := stop(b.process)
	b.populate(3, "u", 10*time.Second)
	b.populate(2, "u", 2*time.Minute)
	b.populate(4, "u", -time.Minute)
	now.move(time.Second)
	c, err := b.CleanupExpiredSessions(b.ctx()).Get()
	require.NoError(t, err)
	require.Equal(t, 5, c.DeletedSessions)
	require.Equal(t, 3, b.number("SELECT count(*) FROM cache_outbox WHERE kind = 'session'"))
	b.exec("DELETE FROM sessions")
	require.Equal(t, 7, b.number("SELECT count(*) FROM cache_outbox"))
}

// An interrupted cleanup says how many sessions it has deleted.
func TestCleanupInterrupted(t *testing.T) {
	b := setup(t, uncached)
	const ended = 3_500
	b.populate(ended, "u", time.Hour)
	ctx, cancel := context.WithCancel(b.ctx())
	defer cancel()
	var seen [][2]int
	err := b.CleanupWithProgress(ctx, func(deleted, total int) {
		seen = append(seen, [2]int{deleted, total})
		if deleted == 2_000 {
			cancel()
		}
	}).Err()
	require.ErrorIs(t, err, result.Cancelled)
	require.Equal(t, 2_000, result.From(err).Details["deletedSessions"])
	require.Equal(t, ended-2_000, b.count())
	require.Equal(t, [][2]int{{0, ended}, {1_000, ended}, {2_000, ended}}, seen)

	err = b.CleanupExpiredSessions(ctx).Err()
	require.ErrorIs(t, err, result.Cancelled)
	require.Equal(t, 0, result.From(err).Details["deletedSessions"])
	require.ErrorIs(t, b.CleanupWithProgress(ctx, func(int, int) {}).Err(), result.Cancelled)
	c, err := b.CleanupExpiredSessions(b.ctx()).Get()
	require.NoError(t, err)
	require.Equal(t, ended-2_000, c.DeletedSessions)
}

// Somebody has a row locked, and moves its end: the cleanup does not wait, and what
// has been moved stays.
func TestCleanupLeavesWhatIsBeingChanged(t *testing.T) {
	b := setup(t, uncached)
	b.populate(10, "u", time.Hour)
	tx, err := b.pool.Begin(b.ctx())
	require.NoError(t, err)
	defer tx.Rollback(b.ctx()) //nolint:errcheck // committed before, unless the test has failed
	_, err = tx.Exec(b.ctx(), "UPDATE sessions SET expires_at = now() + interval '1 hour' WHERE id = (SELECT min(id::text)::uuid FROM sessions)")
	require.NoError(t, err)
	c, err := b.CleanupExpiredSessions(b.ctx()).Get()
	require.NoError(t, err)
	require.Equal(t, 9, c.DeletedSessions)
	require.NoError(t, tx.Commit(b.ctx()))
	c, err = b.CleanupExpiredSessions(b.ctx()).Get()
	require.NoError(t, err)
	require.Zero(t, c.DeletedSessions)
	require.Equal(t, 1, b.count())
}

// An update and a delete of one session race from two processes: whoever comes
// first, the session is gone, and no cache brings it back.
func TestAnUpdateNeverResurrects(t *testing.T) {
	b := setup(t, longFresh)
	other := b.open(b.cfg)
	warm := b.create(alice())
	b.warm(b.process, warm)
	b.warm(other, warm)
	updates := 0
	for range 100 {
		token := b.create(alice())
		require.True(t, b.says(b.process, token).IsValid)
		require.True(t, b.says(other, token).IsValid)
		var group sync.WaitGroup
		var updated, deleted error
		group.Go(func() {
			updated = other.UpdateSession(b.ctx(), token, sessions.Patch{SessionData: json.RawMessage(`{"n":1}`), ExtendTTL: time.Hour}).Err()
		})
		group.Go(func() { deleted = b.DeleteSession(b.ctx(), token).Err() })
		group.Wait()
		require.NoError(t, deleted)
		if updated == nil {
			updates++
		} else {
			require.ErrorIs(t, updated, result.RecordNotFound)
		}
		require.True(t, b.unknown(b.process, token))
		b.becomes(func() bool { return b.unknown(other, token) })
		require.True(t, b.unknown(other, token))
	}
	require.Equal(t, 1, b.count())
	t.Log(updates, "of 100 updates came first")
}
