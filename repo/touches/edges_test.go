package touches_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
	"github.com/seed14a526e0/relaystore/strategy"
)

// statements counts the most statuses that one transaction has stored one after the other.
type statements struct {
	mu   sync.Mutex
	now  map[*pgx.Conn]int
	most int
}

func (s *statements) TraceQueryStart(ctx context.Context, c *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case strings.HasPrefix(q.SQL, "begin"):
		s.now[c] = 0
	case strings.Contains(q.SQL, "AccountApplyStatuses"):
		s.now[c]++
		s.most = max(s.most, s.now[c])
	}
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Many statuses of one account are many statements. A transaction has an end: it must be in
// reach of the slowest connection, else they would be tried as a whole for ever.
func TestOneBusyAccount(t *testing.T) {
	seen := &statements{now: make(map[*pgx.Conn]int)}
	b := setup(t, func(c *repo.Config) { c.Tracer = seen })
	id, now := b.account(), time.Now().UTC().Truncate(time.Microsecond)
	all := make([]string, 600)
	for i := range all {
		all[i] = statusEntry(id, accounts.RateLimited, now.Add(time.Duration(i)*time.Microsecond), map[string]any{"tokensRemaining": i})
	}
	b.add(all...)
	b.drained()
	require.Equal(t, len(all)-1, stored[int](b, "SELECT tokens_remaining FROM accounts WHERE id = $1", id))
	seen.mu.Lock()
	defer seen.mu.Unlock()
	require.LessOrEqual(t, seen.most, 100)
	require.Positive(t, seen.most)
}

// A clock that was wrong for a moment keeps no later status out, in either store.
func TestAClockThatWasWrong(t *testing.T) {
	b := setup(t, func(c *repo.Config) { c.PrimaryRedisURL = testclient.LegacyRedis(t) })
	id := b.account()
	wrong := statusEntry(id, accounts.RateLimited, time.Now().Add(10_000*time.Hour), nil)
	b.add(wrong)
	b.drained()
	require.Equal(t, accounts.RateLimited, stored[string](b, statusOf, id))
	require.NoError(t, b.Accounts.UpdateAccountStatus(t.Context(), id, accounts.Active, accounts.StatusMetadata{}).Err())
	b.drained()
	require.Equal(t, accounts.Active, stored[string](b, statusOf, id))

	b.add(wrong)
	b.drained()
	before := time.Now()
	require.NoError(t, b.Accounts.UpdateAccountStatus(t.Context(), id, accounts.Inactive, accounts.StatusMetadata{}).Err())
	b.add(statusEntry(id, accounts.Active, before, nil))
	b.drained()
	require.Equal(t, accounts.Inactive, stored[string](b, statusOf, id), "moments order again")

	b.add(wrong)
	b.drained()
	require.NoError(t, b.Storage.SwitchStorageStrategy(t.Context(), strategy.Account, strategy.DefaultOn(strategy.PrimaryRedis, strategy.Account)).Err())
	b.add(statusEntry(id, accounts.Active, time.Now(), nil))
	b.drained()
	a, err := b.Accounts.GetAccount(t.Context(), id).Get()
	require.NoError(t, err)
	require.Equal(t, accounts.Active, a.Status)
}

// A limit that changes nothing is newer all the same.
func TestALimitIsNewer(t *testing.T) {
	b := setup(t)
	id := b.account()
	require.NoError(t, b.Accounts.LimitAccount(t.Context(), id, time.Hour).Err())
	between := time.Now()
	require.NoError(t, b.Accounts.LimitAccount(t.Context(), id, time.Minute).Err())
	b.add(statusEntry(id, accounts.Active, between, nil))
	b.drained()
	require.Equal(t, accounts.RateLimited, stored[string](b, statusOf, id))
}

// While sessions are moved, extensions wait for the end of that as all writes do: in the
// journal, they could wait until the session has ended.
func TestExtensionsDuringAMove(t *testing.T) {
	b := setup(t, func(c *repo.Config) { c.PrimaryRedisURL = testclient.LegacyRedis(t) })
	s := b.session(time.Hour)
	tx, err := b.Transactions.BeginTransaction(t.Context(), repo.TxOptions{})
	require.NoError(t, err)
	data := sessions.Data{UserID: "u", UserType: sessions.User, SessionData: []byte(`{}`)}
	require.NoError(t, tx.Client.Sessions.CreateSession(t.Context(), data).Err())
	moved := make(chan error, 1)
	go func() {
		moved <- b.Storage.SwitchStorageStrategy(context.WithoutCancel(t.Context()), strategy.Session, strategy.DefaultOn(strategy.PrimaryRedis, strategy.Session)).Err()
	}()
	b.eventually(func() bool {
		st, err := b.Storage.GetStorageConfig(strategy.Session)
		return err == nil && st.Step != ""
	}, "the move waits for the transaction")
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, b.Sessions.UpdateSession(soon, s.SessionToken, sessions.Patch{ExtendTTL: 2 * time.Hour}).Err(), result.ReadOnly)
	extended := make(chan result.Result[sessions.Updated], 1)
	go func() {
		extended <- b.Sessions.UpdateSession(context.WithoutCancel(t.Context()), s.SessionToken, sessions.Patch{ExtendTTL: 3 * time.Hour})
	}()
	require.NoError(t, b.Transactions.CommitTransaction(t.Context(), tx.TransactionID).Err())
	require.NoError(t, <-moved)
	u, err := (<-extended).Get()
	require.NoError(t, err)
	v, err := b.Sessions.ValidateSession(t.Context(), s.SessionToken).Get()
	require.NoError(t, err)
	require.True(t, v.ExpiresAt.Equal(u.ExpiresAt))
}

// What is damaged in Redis holds up no other touch, and none leaves half of itself.
func TestDamagedSessions(t *testing.T) {
	b := setup(t, func(c *repo.Config) { c.PrimaryRedisURL = testclient.LegacyRedis(t) })
	good, bad := b.session(time.Hour), b.session(time.Hour)
	require.NoError(t, b.Storage.SwitchStorageStrategy(t.Context(), strategy.Session, strategy.DefaultOn(strategy.PrimaryRedis, strategy.Session)).Err())
	redis := testdb.RedisAt(t, b.cfg.PrimaryRedisURL)
	do := func(words ...string) string {
		t.Helper()
		text, err := redis.Do(t.Context(), redis.B().Arbitrary(words...).Build()).ToString()
		require.NoError(t, err)
		return text
	}
	key := func(s sessions.Created) string { return "relaystore:session:" + hashOf(s.SessionToken) }
	touch := func(s sessions.Created, more time.Duration) string {
		return entry(strategy.Session, map[string]any{"hash": hashOf(s.SessionToken), "seen": s.ExpiresAt, "ends": s.ExpiresAt.Add(more)})
	}
	do("SET", key(bad), "no session")
	b.add(touch(bad, time.Hour), touch(good, time.Hour))
	b.drained()
	v, err := b.Sessions.ValidateSession(t.Context(), good.SessionToken).Get()
	require.NoError(t, err)
	require.True(t, v.ExpiresAt.Equal(good.ExpiresAt.Add(time.Hour)))

	do("SET", "relaystore:sessions:ends", "no order")
	before := do("DUMP", key(good))
	b.add(touch(good, 2*time.Hour), entry(strategy.APIKey, map[string]any{"key": uuid.New(), "at": time.Now()}))
	b.drained()
	require.Equal(t, before, do("DUMP", key(good)))
}
