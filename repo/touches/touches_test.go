package touches_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
	"github.com/seed14a526e0/relaystore/strategy"
)

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

const (
	endsOf    = "SELECT expires_at FROM sessions WHERE token_hash = decode($1, 'hex')"
	statusOf  = "SELECT status FROM accounts WHERE id = $1"
	messageOf = "SELECT error_message FROM accounts WHERE id = $1"
	lastOf    = "SELECT last_used_at FROM accounts WHERE id = $1"
	usedOf    = "SELECT last_used_at FROM api_key_last_used WHERE api_key_id = $1"
)

// Entries come in any order, some twice, in batches of any size: the newest status lasts,
// the latest end and the latest uses.
func TestAnyOrderAndTwice(t *testing.T) {
	b := setup(t)
	const each = 12
	for range 8 {
		id, key, s := b.account(), b.key(), b.session(time.Hour)
		hash, now := hashOf(s.SessionToken), time.Now().UTC().Truncate(time.Microsecond)
		var all []string
		var status, message string
		for i := range each {
			at := now.Add(time.Duration(i-each) * time.Minute)
			status, message = accounts.Statuses[rand.IntN(len(accounts.Statuses))], "m"+uuid.NewString()
			all = append(all,
				statusEntry(id, status, at, map[string]any{"errorMessage": message, "lastRequestAt": at}),
				entry(strategy.Session, map[string]any{"hash": hash, "seen": s.ExpiresAt, "ends": s.ExpiresAt.Add(time.Duration(i+1) * time.Minute)}),
				entry(strategy.APIKey, map[string]any{"key": key.ID, "at": at}))
		}
		all = append(all, all[:len(all)/2]...)
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for len(all) > 0 {
			n := 1 + rand.IntN(len(all))
			b.add(all[:n]...)
			all = all[n:]
			if rand.IntN(2) == 0 {
				b.drained()
			}
		}
		b.drained()
		last := now.Add(-time.Minute)
		require.Equal(t, status, stored[string](b, statusOf, id))
		require.Equal(t, message, stored[string](b, messageOf, id))
		require.True(t, stored[time.Time](b, lastOf, id).Equal(last))
		require.True(t, stored[time.Time](b, endsOf, hash).Equal(s.ExpiresAt.Add(each*time.Minute)))
		require.WithinDuration(t, last, stored[time.Time](b, usedOf, key.ID), 50*time.Second)
	}
	require.Zero(t, b.length(b.stream()+":refused"))
}

// What is gone stays gone, and what was set anew stays what it is.
func TestNothingIsRevived(t *testing.T) {
	b := setup(t)
	now := time.Now()
	deleted, expired, shortened := b.session(time.Hour), b.session(time.Millisecond), b.session(time.Hour)
	require.NoError(t, b.Sessions.DeleteSession(t.Context(), deleted.SessionToken).Err())
	short, err := b.Sessions.UpdateSession(t.Context(), shortened.SessionToken, sessions.Patch{ExtendTTL: 10 * time.Minute}).Get()
	require.NoError(t, err)
	require.True(t, stored[time.Time](b, endsOf, hashOf(shortened.SessionToken)).Equal(short.ExpiresAt), "it is written through")
	b.eventually(func() bool { return time.Now().After(expired.ExpiresAt) }, "it ends")
	gone, byHand, renewed := b.account(), b.account(), b.account()
	key := b.key()
	require.NoError(t, b.Accounts.DeleteAccount(t.Context(), gone).Err())
	require.NoError(t, b.APIKeys.DeleteAPIKey(t.Context(), key.ID).Err())
	b.exec("UPDATE accounts SET status = 'inactive' WHERE id = $1", byHand)
	require.NoError(t, b.Accounts.UpdateAccountStatus(t.Context(), renewed, accounts.InError, accounts.StatusMetadata{ErrorMessage: "why"}).Err())
	for _, s := range []sessions.Created{deleted, expired, shortened} {
		b.add(entry(strategy.Session, map[string]any{"hash": hashOf(s.SessionToken), "seen": s.ExpiresAt, "ends": now.Add(24 * time.Hour)}))
	}
	for _, id := range []string{gone, byHand, renewed, uuid.NewString()} {
		b.add(statusEntry(id, accounts.Active, now.Add(-time.Second), nil))
	}
	b.add(entry(strategy.APIKey, map[string]any{"key": key.ID, "at": now}))
	b.drained()
	require.ErrorIs(t, b.Sessions.ValidateSession(t.Context(), deleted.SessionToken).Err(), result.RecordNotFound)
	v, err := b.Sessions.ValidateSession(t.Context(), expired.SessionToken).Get()
	require.NoError(t, err)
	require.False(t, v.IsValid)
	require.True(t, stored[time.Time](b, endsOf, hashOf(shortened.SessionToken)).Equal(short.ExpiresAt))
	require.ErrorIs(t, b.Accounts.GetAccount(t.Context(), gone).Err(), result.RecordNotFound)
	require.Equal(t, accounts.Inactive, stored[string](b, statusOf, byHand))
	require.Equal(t, accounts.InError, stored[string](b, statusOf, renewed))
	require.ErrorIs(t, b.APIKeys.ValidatePlaintext(t.Context(), key.APIKey).Err(), result.RecordNotFound)
	require.EqualValues(t, 4, b.Monitoring.Process(t.Context()).TouchesDropped, "two sessions and two accounts")
	require.ErrorIs(t, b.Accounts.UpdateAccountStatus(t.Context(), gone, accounts.Active, accounts.StatusMetadata{}).Err(), result.RecordNotFound)
	b.exec("UPDATE accounts SET status_at = NULL WHERE id = $1", byHand)
	b.add(statusEntry(byHand, accounts.Active, now, nil))
	b.drained()
	require.Equal(t, accounts.Active, stored[string](b, statusOf, byHand), "the guard is the moment")
}

// Entries that nobody of us has written are put aside, and stop no other.
func TestStrangersArePutAside(t *testing.T) {
	b := setup(t)
	id, now := b.account(), time.Now()
	strangers := []string{
		"", "1", "2{}", `1{"type":"usage","entry":{}}`, `1{"type":"account","entry":{}}`, `1{"type":"account","entry":null}`,
		statusEntry(id, "x", now, nil), statusEntry(id, accounts.Active, now, map[string]any{"more": 1}),
		statusEntry(id, accounts.Active, now, map[string]any{"lastRequestAt": now.Add(48 * time.Hour)}),
		statusEntry(id, accounts.Active, now, map[string]any{"tokensRemaining": -1}),
		entry(strategy.Session, map[string]any{"hash": "00", "seen": now, "ends": now.Add(time.Hour)}),
		entry(strategy.APIKey, map[string]any{"key": uuid.Nil, "at": now}),
	}
	b.add(append(strangers, statusEntry(id, accounts.RateLimited, now, nil))...)
	b.drained()
	require.Equal(t, accounts.RateLimited, stored[string](b, statusOf, id))
	require.EqualValues(t, len(strangers), b.length(b.stream()+":refused"))
}

// touchAll makes the three calls whose writes may wait, and gives the session's new end.
func (b *bundle) touchAll(account, session, key string) time.Time {
	b.Helper()
	u, err := b.Sessions.UpdateSession(b.Context(), session, sessions.Patch{ExtendTTL: 5 * time.Hour}).Get()
	require.NoError(b, err)
	require.NoError(b, b.Accounts.UpdateAccountStatus(b.Context(), account, accounts.RateLimited, accounts.StatusMetadata{}).Err())
	require.NoError(b, b.APIKeys.ValidatePlaintext(b.Context(), key).Err())
	return u.ExpiresAt
}

// hasAll waits until PostgreSQL has what touchAll has written.
func (b *bundle) hasAll(account, session, keyID string, ends time.Time) {
	b.Helper()
	b.eventually(func() bool {
		return stored[string](b, statusOf, account) == accounts.RateLimited && stored[time.Time](b, endsOf, hashOf(session)).Equal(ends) &&
			stored[bool](b, "SELECT EXISTS (SELECT FROM api_key_last_used WHERE api_key_id = $1)", keyID)
	}, "all is stored")
}

// PostgreSQL is out of reach for a while: calls are acknowledged, and stored when it is back.
func TestPostgresDown(t *testing.T) {
	var proxy *faultproxy.Proxy
	b := setup(t, func(c *repo.Config) { proxy, c.DatabaseURL = faultproxy.Postgres(t, c.DatabaseURL) })
	account, session, key := b.account(), b.session(time.Hour), b.key()
	b.eventually(func() bool {
		h, err := b.Storage.GetStorageHealth(t.Context())
		return err == nil && h.Redis.HeartbeatAge >= 0
	}, "the cache takes part")
	require.NoError(t, b.Sessions.ValidateSession(t.Context(), session.SessionToken).Err())
	require.NoError(t, b.Accounts.GetCredentials(t.Context(), account).Err())
	require.NoError(t, b.APIKeys.ValidatePlaintext(t.Context(), key.APIKey).Err())
	b.drained()
	before := b.length(b.stream())
	proxy.Cut()
	ends := b.touchAll(account, session.SessionToken, key.APIKey)
	require.GreaterOrEqual(t, b.length(b.stream()), before+2)
	require.Equal(t, accounts.Active, stored[string](b, statusOf, account))
	require.Error(t, b.Accounts.UpdateAccountStatus(t.Context(), account, accounts.Inactive, accounts.StatusMetadata{}).Err(), "it takes the account away")
	proxy.Pass()
	b.hasAll(account, session.SessionToken, key.ID, ends)
	b.drained()
}

// What happens in a transaction waits in no journal: it goes with the transaction.
func TestTransactionsDelayNothing(t *testing.T) {
	b := setup(t)
	account, session := b.account(), b.session(time.Hour)
	undone := errors.New("undone")
	err := b.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(c *repo.Client) error {
		require.NoError(t, c.Accounts.UpdateAccountStatus(t.Context(), account, accounts.RateLimited, accounts.StatusMetadata{}).Err())
		require.NoError(t, c.Sessions.UpdateSession(t.Context(), session.SessionToken, sessions.Patch{ExtendTTL: 5 * time.Hour}).Err())
		return undone
	})
	require.ErrorIs(t, err, undone)
	b.drained()
	require.Equal(t, accounts.Active, stored[string](b, statusOf, account))
	require.True(t, stored[time.Time](b, endsOf, hashOf(session.SessionToken)).Equal(session.ExpiresAt))
}

// Switched away, all is written through: a call waits for the row that it writes.
func TestSwitchedAway(t *testing.T) {
	b := setup(t)
	account := b.account()
	b.switchTo(strategy.Account, strategy.WriteAround)
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = tx.Exec(t.Context(), "SELECT FROM accounts WHERE id = $1 FOR UPDATE", account)
	require.NoError(t, err)
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.Error(t, b.Accounts.UpdateAccountStatus(short, account, accounts.RateLimited, accounts.StatusMetadata{}).Err())
}

// Neither the journal nor PostgreSQL answers: the caller hears that nobody knows.
func TestNobodyAnswers(t *testing.T) {
	var postgres, redis *faultproxy.Proxy
	b := setup(t, func(c *repo.Config) {
		postgres, c.DatabaseURL = faultproxy.Postgres(t, c.DatabaseURL)
		redis, c.RedisURL = faultproxy.Redis(t, c.RedisURL)
	})
	account, session := b.account(), b.session(time.Hour)
	require.NoError(t, b.Sessions.ValidateSession(t.Context(), session.SessionToken).Err())
	postgres.Cut()
	redis.Stall()
	err := b.Accounts.UpdateAccountStatus(t.Context(), account, accounts.RateLimited, accounts.StatusMetadata{}).Err()
	postgres.Pass()
	redis.Pass()
	var told *result.Error
	require.ErrorAs(t, err, &told)
	require.Equal(t, true, told.Details["outcomeUnknown"])
}

// The journal's Redis is dead: all is written through, at once.
func TestRedisDown(t *testing.T) {
	redis := testdb.RedisServer(t)
	b := setup(t, func(c *repo.Config) { c.RedisURL, c.RequireRedis = redis.URL(), false })
	account, session, key := b.account(), b.session(time.Hour), b.key()
	redis.Kill()
	ends := b.touchAll(account, session.SessionToken, key.APIKey)
	require.Equal(t, accounts.RateLimited, stored[string](b, statusOf, account))
	require.True(t, stored[time.Time](b, endsOf, hashOf(session.SessionToken)).Equal(ends))
	b.hasAll(account, session.SessionToken, key.ID, ends)
	require.NoError(t, redis.Start(t.Context())) // for Close
}

// A process that has had touches acknowledged, and has read them, is killed: another one
// claims and stores them.
func TestKilledWithTouches(t *testing.T) {
	b := setup(t)
	account, session, key := b.account(), b.session(time.Hour), b.key()
	c := b.child(session.SessionToken, account, key.APIKey)
	ends, err := time.Parse(time.RFC3339Nano, c.Line())
	require.NoError(t, err, &c.Log)
	require.Equal(t, "read", c.Line())
	require.NoError(t, c.Process.Signal(syscall.SIGKILL))
	require.Error(t, c.Wait())
	stream := b.cfg.KeyPrefix + "child:{journal}:touches"
	require.EqualValues(t, 3, b.length(stream))
	require.Equal(t, accounts.Active, stored[string](b, statusOf, account))
	g, err := openGateway(t.Context(), b.pool, b.cfg.RedisURL, b.cfg.KeyPrefix+"child:")
	require.NoError(t, err)
	g.touches.Start(func(strategy.DataType) bool { return false })
	b.hasAll(account, session.SessionToken, key.ID, ends)
	b.eventually(func() bool { return b.length(stream) == 0 }, "each is settled")
	require.NoError(t, g.touches.Close(t.Context()))
	require.Zero(t, g.touches.Dropped())
}

// A move waits for what is in the journal; what comes later is stored where the data is
// then. Nothing acknowledged is lost.
func TestMovesLoseNothing(t *testing.T) {
	b := setup(t, func(c *repo.Config) { c.PrimaryRedisURL = testclient.LegacyRedis(t) })
	account, session, key := b.account(), b.session(time.Hour), b.key()
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT FROM accounts WHERE id = $1 FOR UPDATE", account)
	require.NoError(t, err)
	require.NoError(t, b.Accounts.UpdateAccountStatus(t.Context(), account, accounts.RateLimited, accounts.StatusMetadata{}).Err())
	b.eventually(func() bool {
		return stored[int](b, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0
	}, "its flush waits")
	moved := make(chan error, 1)
	go func() {
		moved <- b.Storage.SwitchStorageStrategy(context.WithoutCancel(t.Context()), strategy.Account, strategy.DefaultOn(strategy.PrimaryRedis, strategy.Account)).Err()
	}()
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, <-moved)
	a, err := b.Accounts.GetAccount(t.Context(), account).Get()
	require.NoError(t, err)
	require.Equal(t, accounts.RateLimited, a.Status)
	for _, dataType := range []strategy.DataType{strategy.APIKey, strategy.Session} {
		require.NoError(t, b.Storage.SwitchStorageStrategy(t.Context(), dataType, strategy.DefaultOn(strategy.PrimaryRedis, dataType)).Err())
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	b.add(
		statusEntry(account, accounts.InError, now.Add(-time.Hour), map[string]any{"errorMessage": "old"}),
		statusEntry(account, accounts.Active, now, map[string]any{"lastRequestAt": now}), statusEntry(uuid.NewString(), accounts.Active, now, nil),
		entry(strategy.Session, map[string]any{"hash": hashOf(session.SessionToken), "seen": session.ExpiresAt, "ends": session.ExpiresAt.Add(time.Hour)}),
		entry(strategy.Session, map[string]any{"hash": hashOf(session.SessionToken), "seen": session.ExpiresAt.Add(3 * time.Hour), "ends": session.ExpiresAt.Add(4 * time.Hour)}),
		entry(strategy.APIKey, map[string]any{"key": key.ID, "at": now}))
	b.drained()
	a, err = b.Accounts.GetAccount(t.Context(), account).Get()
	require.NoError(t, err)
	require.Equal(t, []any{accounts.Active, "", now}, []any{a.Status, a.ErrorMessage, a.LastUsedAt})
	v, err := b.Sessions.ValidateSession(t.Context(), session.SessionToken).Get()
	require.NoError(t, err)
	require.True(t, v.ExpiresAt.Equal(session.ExpiresAt.Add(time.Hour)))
	k, err := b.APIKeys.GetAPIKey(t.Context(), key.ID).Get()
	require.NoError(t, err)
	require.Equal(t, now, k.LastUsedAt)
	require.EqualValues(t, 1, b.Monitoring.Process(t.Context()).TouchesDropped)
	b.add(statusEntry(account, accounts.RateLimited, now.Add(-time.Millisecond), nil))
	b.drained()
	a, err = b.Accounts.GetAccount(t.Context(), account).Get()
	require.NoError(t, err)
	require.Equal(t, accounts.Active, a.Status, "a newer one was set")
}

// A move carries when a status was set, there and back: an older one that waits still
// takes no newer one's place.
func TestMovesKeepMoments(t *testing.T) {
	b := setup(t, func(c *repo.Config) { c.PrimaryRedisURL = testclient.LegacyRedis(t) })
	account := b.account()
	late := time.Now()
	for _, to := range []strategy.Primary{strategy.PrimaryRedis, strategy.PrimaryPostgres} {
		require.NoError(t, b.Accounts.UpdateAccountStatus(t.Context(), account, accounts.InError, accounts.StatusMetadata{}).Err())
		require.NoError(t, b.Storage.SwitchStorageStrategy(t.Context(), strategy.Account, strategy.DefaultOn(to, strategy.Account)).Err())
		b.add(statusEntry(account, accounts.Active, late, nil))
		b.drained()
		a, err := b.Accounts.GetAccount(t.Context(), account).Get()
		require.NoError(t, err)
		require.Equal(t, accounts.InError, a.Status, to)
		late = time.Now() // before it is set at the new primary
		b.eventually(func() bool { return time.Since(late) > 2*time.Millisecond }, "the layout has milliseconds")
	}
}

// A move does not begin before what was acknowledged is stored, so that the copy has it:
// who goes back to the legacy service ends the processes that would flush it later.
func TestAMoveWaitsForTouches(t *testing.T) {
	b := setup(t, func(c *repo.Config) { c.PrimaryRedisURL = testclient.LegacyRedis(t) })
	account := b.account()
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT FROM accounts WHERE id = $1 FOR UPDATE", account)
	require.NoError(t, err)
	require.NoError(t, b.Accounts.UpdateAccountStatus(t.Context(), account, accounts.RateLimited, accounts.StatusMetadata{}).Err())
	to := strategy.DefaultOn(strategy.PrimaryRedis, strategy.Account)
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := 0
	err = b.Storage.SwitchPrimary(short, strategy.Account, to, func(strategy.Progress) { began++ }).Err()
	require.NoError(t, tx.Rollback(t.Context()))
	require.Error(t, err)
	require.Zero(t, began)
	was := ""
	require.NoError(t, b.Storage.SwitchPrimary(t.Context(), strategy.Account, to, func(strategy.Progress) {
		if began++; began == 1 {
			_ = b.pool.QueryRow(t.Context(), statusOf, account).Scan(&was)
		}
	}).Err())
	require.Equal(t, accounts.RateLimited, was)
}

// What a process delays stands in effective; one without a journal delays nothing.
func TestEffectiveSaysSo(t *testing.T) {
	b := setup(t)
	cfg := b.cfg
	cfg.UsageWrites = repo.WriteThrough
	without := testclient.Open(t, cfg)
	for dataType, delays := range map[strategy.DataType]string{strategy.APIKey: "lastUsedAt", strategy.Account: "status", strategy.Session: "extendTTL"} {
		st, err := b.Storage.GetStorageConfig(dataType)
		require.NoError(t, err)
		doc, err := json.Marshal(st)
		require.NoError(t, err)
		require.Contains(t, string(doc), `"delays":"`+delays+`"`)
		st, err = without.Storage.GetStorageConfig(dataType)
		require.NoError(t, err)
		require.Equal(t, []any{strategy.WriteBehind, strategy.WriteAround, ""}, []any{st.WriteStrategy, st.Effective.WriteStrategy, st.Delays})
	}
}
