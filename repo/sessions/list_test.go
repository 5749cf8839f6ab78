package sessions_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

func (b *bundle) list(f sessions.Filters) []sessions.Session {
	b.Helper()
	page, err := b.ListSessions(b.ctx(), f).Get()
	require.NoError(b, err)
	return page.Sessions
}

func TestList(t *testing.T) {
	b := setup(t)
	require.NotNil(t, b.list(sessions.Filters{}))
	now := stop(b.process)
	var tokens []string
	for i := range 7 {
		data := alice()
		data.UserID, data.TTL = []string{"alice", "bob"}[i%2], time.Duration(i+1)*time.Minute
		tokens = append(tokens, b.create(data))
	}
	now.move(3 * time.Minute)
	all := b.list(sessions.Filters{})
	require.Len(t, all, 7)
	for i, s := range all {
		n := 6 - i // newest first
		require.Equal(t, []string{"alice", "bob"}[n%2], s.UserID)
		require.Equal(t, n >= 3, s.IsValid)
		require.Equal(t, time.Duration(n+1)*time.Minute, s.ExpiresAt.Sub(s.CreatedAt))
	}
	var paged []sessions.Session
	for f := (sessions.Filters{Limit: 3}); ; f.Before = paged[len(paged)-1].ID {
		page := b.list(f)
		paged = append(paged, page...)
		if len(page) < f.Limit {
			break
		}
	}
	require.Equal(t, all, paged)
	bobs := slices.DeleteFunc(slices.Clone(all), func(s sessions.Session) bool { return s.UserID != "bob" })
	require.Equal(t, bobs, b.list(sessions.Filters{UserID: "bob"}))
	require.Equal(t, bobs[2:], b.list(sessions.Filters{UserID: "bob", Before: bobs[1].ID}))
	doc, err := json.Marshal(b.ListSessions(b.ctx(), sessions.Filters{}))
	require.NoError(t, err)
	for _, token := range tokens {
		require.NotContains(t, string(doc), token)
		require.NotContains(t, string(doc), hashOf(token))
	}
}

func TestRevoke(t *testing.T) {
	b := setup(t)
	first, second := b.create(alice()), b.create(alice())
	id := b.list(sessions.Filters{})[1].ID
	require.NoError(t, b.RevokeSession(b.ctx(), id).Err())
	require.ErrorIs(t, b.RevokeSession(b.ctx(), id).Err(), result.RecordNotFound)
	require.True(t, b.unknown(b.process, first))
	require.True(t, b.says(b.process, second).IsValid)

	const many = 2_100
	b.populate(many, "alice", -time.Hour)
	b.populate(3, "alicia", -time.Hour)
	r, err := b.RevokeUserSessions(b.ctx(), "alice").Get()
	require.NoError(t, err)
	require.Equal(t, many+1, r.RevokedSessions)
	require.True(t, b.unknown(b.process, second))
	require.Equal(t, 3, b.count())
	r, err = b.RevokeUserSessions(b.ctx(), "alice").Get()
	require.NoError(t, err)
	require.Zero(t, r.RevokedSessions)
}

// Two revocations of one user at once share the work and do not block each other
// for good; one waits for who is changing a session instead of leaving it.
func TestRevocationsAtOnce(t *testing.T) {
	b := setup(t, uncached)
	const many = 3_000
	b.populate(many, "u", -time.Hour)
	tx, err := b.pool.Begin(b.ctx())
	require.NoError(t, err)
	defer tx.Rollback(b.ctx()) //nolint:errcheck // committed before, unless the test has failed
	_, err = tx.Exec(b.ctx(), "UPDATE sessions SET session_data = '{}' WHERE id = (SELECT max(id::text)::uuid FROM sessions)")
	require.NoError(t, err)
	counts, errs := [2]int{}, [2]error{}
	var group sync.WaitGroup
	for i, p := range []*process{b.process, b.open(b.cfg)} {
		group.Go(func() {
			var r sessions.Revoked
			r, errs[i] = p.RevokeUserSessions(b.ctx(), "u").Get()
			counts[i] = r.RevokedSessions
		})
	}
	b.becomes(func() bool { return b.number("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0 })
	require.NoError(t, tx.Commit(b.ctx()))
	group.Wait()
	require.Equal(t, [2]error{}, errs)
	require.Equal(t, many, counts[0]+counts[1])
	require.Zero(t, b.count())
}

func TestOperatorsMethodsRefuseByName(t *testing.T) {
	b := setup(t)
	b.create(alice())
	for _, id := range []string{"", "1", uuid.Nil.String(), "'; DROP TABLE sessions; --", strings.Repeat("a", 1<<20)} {
		requireField(t, b.RevokeSession(b.ctx(), id).Err(), result.InvalidQuery, "id")
		if id != "" {
			requireField(t, b.ListSessions(b.ctx(), sessions.Filters{Before: id}).Err(), result.InvalidQuery, "before")
		}
	}
	require.ErrorIs(t, b.RevokeSession(b.ctx(), uuid.NewString()).Err(), result.RecordNotFound)
	for _, limit := range []int{-1, 1001} {
		requireField(t, b.ListSessions(b.ctx(), sessions.Filters{Limit: limit}).Err(), result.InvalidQuery, "limit")
	}
	for _, user := range []string{"", "\x00", "\xff", strings.Repeat("x", 257)} {
		requireField(t, b.RevokeUserSessions(b.ctx(), user).Err(), result.InvalidQuery, "userId")
		if user != "" {
			requireField(t, b.ListSessions(b.ctx(), sessions.Filters{UserID: user}).Err(), result.InvalidQuery, "userId")
		}
	}
	require.Equal(t, 1, b.count())
}

// No statement reads the table of 40,020 rows for the few that it is about, also as
// the plan that is kept for every caller.
func TestStatementsReadFewRows(t *testing.T) {
	b := setup(t, uncached)
	b.populate(20_000, "many", time.Hour)
	b.populate(20_000, "many", -time.Hour)
	b.populate(20, "few", -time.Hour)
	b.exec("ANALYZE sessions")
	var hash []byte
	require.NoError(t, b.pool.QueryRow(b.ctx(), "SELECT token_hash FROM sessions WHERE user_id = 'few' LIMIT 1").Scan(&hash))
	now, q := time.Now(), db.New()
	for name, run := range map[string]func(db.DBTX) error{
		"get":    func(tx db.DBTX) error { _, err := q.SessionGetByHash(b.ctx(), tx, hash); return err },
		"delete": func(tx db.DBTX) error { _, err := q.SessionDeleteByHash(b.ctx(), tx, hash); return err },
		"update": func(tx db.DBTX) error {
			_, err := q.SessionUpdate(b.ctx(), tx, db.SessionUpdateParams{TokenHash: hash, Now: now})
			return err
		},
		"delete by user": func(tx db.DBTX) error {
			_, err := q.SessionDeleteByUser(b.ctx(), tx, db.SessionDeleteByUserParams{UserID: "few", RowLimit: 1000})
			return err
		},
		"delete expired": func(tx db.DBTX) error {
			_, err := q.SessionDeleteExpired(b.ctx(), tx, db.SessionDeleteExpiredParams{Now: now, RowLimit: 100})
			return err
		},
		"list": func(tx db.DBTX) error {
			_, err := q.SessionList(b.ctx(), tx, db.SessionListParams{Before: uuid.Max, RowLimit: 100})
			return err
		},
		"list by user": func(tx db.DBTX) error {
			_, err := q.SessionListByUser(b.ctx(), tx, db.SessionListByUserParams{UserID: "few", Before: uuid.Max, RowLimit: 100})
			return err
		},
	} {
		for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
			tx, err := b.pool.Begin(b.ctx())
			require.NoError(t, err)
			_, err = tx.Exec(b.ctx(), "SET LOCAL plan_cache_mode = "+mode)
			require.NoError(t, err)
			require.NoError(t, run(tx), name)
			var read int
			require.NoError(t, tx.QueryRow(b.ctx(), `SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
				FROM pg_stat_xact_user_tables WHERE relname = 'sessions'`).Scan(&read))
			require.NoError(t, tx.Rollback(b.ctx()))
			require.Positive(t, read, name)
			require.Less(t, read, 2_000, "%s with %s", name, mode) // the planner's look at an index's end counts, too
		}
	}
}
