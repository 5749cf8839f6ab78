package sessions_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
	"github.com/seed14a526e0/relaystore/strategy"
)

// onRedis is a bundle whose sessions are in a Redis that a legacy service shares.
func onRedis(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	cfg := testclient.Config(t)
	cfg.PrimaryRedisURL = testclient.LegacyRedis(t)
	client := testclient.OnRedis(t, cfg, strategy.Session)
	return &bundle{
		T: t, cfg: cfg, redis: testdb.RedisAt(t, cfg.PrimaryRedisURL), pool: testdb.Pool(t, cfg.DatabaseURL),
		process: &process{Repo: client.Sessions, client: client},
	}
}

func (b *bundle) redisKeys() []string {
	b.Helper()
	keys, err := b.redis.Do(b.ctx(), b.redis.B().Keys().Pattern("*").Build()).AsStrSlice()
	require.NoError(b, err)
	return slices.DeleteFunc(keys, func(key string) bool { return strings.HasPrefix(key, "relaystore:epoch:") })
}

func TestRedisLife(t *testing.T) {
	b := onRedis(t)
	now := stop(b.process)
	two := testclient.OnRedis(t, b.cfg, strategy.Session).Sessions
	two.SetClock(now.now)
	first := b.created(sessions.Data{
		UserID: "a:b", UserType: sessions.Admin, SessionData: json.RawMessage(`{"a": 1}`), TTL: time.Minute, IPAddress: "::ffff:192.0.2.7", UserAgent: "curl/8",
	})
	second := b.create(alice())
	for _, key := range b.redisKeys() {
		require.Contains(t, key, "relaystore:session")
		require.NotContains(t, key, first.SessionToken)
	}
	want := sessions.Validation{UserID: "a:b", UserType: sessions.Admin, SessionData: json.RawMessage(`{"a": 1}`), ExpiresAt: first.ExpiresAt, IsValid: true}
	for _, r := range []*sessions.Repo{b.Repo, two} {
		got, err := r.ValidateSession(t.Context(), first.SessionToken).Get()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	u, err := two.UpdateSession(t.Context(), first.SessionToken, sessions.Patch{SessionData: json.RawMessage(`{"b":2}`), ExtendTTL: time.Hour}).Get()
	require.NoError(t, err)
	require.Equal(t, time.Hour, u.ExpiresAt.Sub(now.now()))
	want.SessionData, want.ExpiresAt = json.RawMessage(`{"b":2}`), u.ExpiresAt
	require.Equal(t, want, b.says(b.process, first.SessionToken))

	page, err := two.ListSessions(t.Context(), sessions.Filters{}).Get()
	require.NoError(t, err)
	require.Equal(t, []string{"alice", "a:b"}, []string{page.Sessions[0].UserID, page.Sessions[1].UserID})
	s := page.Sessions[1]
	require.Equal(t, []any{sessions.Admin, "192.0.2.7", "curl/8", u.ExpiresAt, true}, []any{s.UserType, s.IPAddress, s.UserAgent, s.ExpiresAt, s.IsValid})
	page, err = two.ListSessions(t.Context(), sessions.Filters{Before: page.Sessions[0].ID, Limit: 1}).Get()
	require.NoError(t, err)
	require.Equal(t, []sessions.Session{s}, page.Sessions)

	now.move(time.Hour)
	require.False(t, b.says(b.process, first.SessionToken).IsValid)
	require.ErrorIs(t, b.UpdateSession(t.Context(), first.SessionToken, sessions.Patch{ExtendTTL: time.Hour}).Err(), result.RecordNotFound)
	cleaned, err := two.CleanupExpiredSessions(t.Context()).Get()
	require.NoError(t, err)
	require.Equal(t, 1, cleaned.DeletedSessions)
	require.True(t, b.unknown(b.process, first.SessionToken))
	require.True(t, b.says(b.process, second).IsValid)
	require.NoError(t, two.DeleteSession(t.Context(), second).Err())
	require.ErrorIs(t, b.DeleteSession(t.Context(), second).Err(), result.RecordNotFound)
	require.Empty(t, b.redisKeys(), "nothing stays behind")
}

// More than one script deletes at a time, and nothing else.
func TestRedisManySessions(t *testing.T) {
	b := onRedis(t)
	now := stop(b.process)
	short, bob := alice(), alice()
	short.TTL, bob.UserID = time.Minute, "bob"
	for range 450 {
		b.create(short)
		b.create(bob)
	}
	keep := b.create(alice())
	now.move(time.Minute)
	heard := 0
	cleaned, err := b.CleanupWithProgress(t.Context(), func(deleted, total int) {
		require.Equal(t, 450, total)
		heard = deleted
	}).Get()
	require.NoError(t, err)
	require.Equal(t, []int{450, 450}, []int{cleaned.DeletedSessions, heard})
	revoked, err := b.RevokeUserSessions(t.Context(), "bob").Get()
	require.NoError(t, err)
	require.Equal(t, 450, revoked.RevokedSessions)
	page, err := b.ListSessions(t.Context(), sessions.Filters{}).Get()
	require.NoError(t, err)
	require.Len(t, page.Sessions, 1)
	require.True(t, b.says(b.process, keep).IsValid)
	require.NoError(t, b.RevokeSession(t.Context(), page.Sessions[0].ID).Err())
	require.True(t, b.unknown(b.process, keep))
	require.Empty(t, b.redisKeys())
}

// What an order still names, and is gone, does not end a revocation early.
func TestRedisRevokesBehindWhatIsGone(t *testing.T) {
	b := onRedis(t)
	token := b.create(alice())
	for i := range 250 {
		member := fmt.Sprintf("00000000-0000-7000-8000-%012d:%064d", i, i)
		require.NoError(t, b.redis.Do(b.ctx(), b.redis.B().Zadd().Key("relaystore:sessions:user:alice").ScoreMember().ScoreMember(0, member).Build()).Error())
	}
	revoked, err := b.RevokeUserSessions(t.Context(), "alice").Get()
	require.NoError(t, err)
	require.Equal(t, 1, revoked.RevokedSessions)
	require.True(t, b.unknown(b.process, token))
	require.Empty(t, b.redisKeys())
}

// Where nobody cleans up, those that ended long ago go when others begin.
func TestRedisForgetsTheEnded(t *testing.T) {
	b := onRedis(t)
	now := stop(b.process)
	for range 3 {
		b.create(alice())
	}
	now.move(sessions.DefaultTTL + 30*24*time.Hour)
	for range 2 {
		b.create(alice())
	}
	page, err := b.ListSessions(t.Context(), sessions.Filters{}).Get()
	require.NoError(t, err)
	require.Len(t, page.Sessions, 2)
}

func TestRedisRefusals(t *testing.T) {
	b := onRedis(t)
	token := b.create(alice())
	require.NoError(t, b.client.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(c *repo.Client) error {
		require.ErrorIs(t, c.Sessions.CreateSession(t.Context(), alice()).Err(), result.InvalidQuery)
		require.ErrorIs(t, c.Sessions.ValidateSession(t.Context(), token).Err(), result.InvalidQuery)
		require.ErrorIs(t, c.Sessions.DeleteSession(t.Context(), token).Err(), result.InvalidQuery)
		return nil
	}))
	did := b.client.Transactions.BatchOperation(t.Context(), []batch.Operation{{Type: batch.Delete, Table: "sessions", Where: map[string]any{"user_id": "alice"}}}, repo.TxOptions{})
	require.ErrorIs(t, did.Err(), result.InvalidQuery)

	require.NoError(t, b.redis.Do(t.Context(), b.redis.B().Set().Key("relaystore:epoch:session").Value("999").Build()).Error())
	size := func() int64 {
		n, err := b.redis.Do(t.Context(), b.redis.B().Dbsize().Build()).AsInt64()
		require.NoError(t, err)
		return n
	}
	before := size()
	for _, err := range []error{
		b.CreateSession(t.Context(), alice()).Err(), b.DeleteSession(t.Context(), token).Err(),
		b.UpdateSession(t.Context(), token, sessions.Patch{ExtendTTL: time.Hour}).Err(), b.CleanupExpiredSessions(t.Context()).Err(),
		b.RevokeUserSessions(t.Context(), "alice").Err(),
	} {
		require.ErrorIs(t, err, result.ReadOnly)
	}
	require.Equal(t, before, size())
	require.True(t, b.says(b.process, token).IsValid, "reads go on")
}

// An order that is something else stops what would change it, before anything is written.
func TestRedisDamagedOrders(t *testing.T) {
	b := onRedis(t)
	data := alice()
	token := b.create(data)
	do := func(words ...string) string {
		t.Helper()
		text, err := b.redis.Do(b.ctx(), b.redis.B().Arbitrary(words...).Build()).ToString()
		require.NoError(t, err)
		return text
	}
	dump := func() map[string]string {
		all := make(map[string]string)
		for _, key := range b.redisKeys() {
			all[key] = do("DUMP", key)
		}
		return all
	}
	for _, order := range []string{"relaystore:sessions:ends", "relaystore:sessions:ids", "relaystore:sessions:user:" + data.UserID} {
		do("RENAME", order, "kept")
		do("SET", order, "no order")
		before := dump()
		for name, err := range map[string]error{
			"create": b.CreateSession(t.Context(), data).Err(), "delete": b.DeleteSession(t.Context(), token).Err(),
		} {
			require.Error(t, err, "%s %s", order, name)
		}
		if !strings.Contains(order, ":user:") { // which an update leaves alone
			require.Error(t, b.UpdateSession(t.Context(), token, sessions.Patch{ExtendTTL: time.Hour}).Err(), order)
		}
		require.Equal(t, before, dump(), order)
		do("RENAME", "kept", order)
	}
	require.NoError(t, b.DeleteSession(t.Context(), token).Err())
	require.Empty(t, b.redisKeys())
}
