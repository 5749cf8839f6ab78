package storage_test

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
	"github.com/seed14a526e0/relaystore/strategy"
)

var onRedis = strategy.DefaultOn(strategy.PrimaryRedis, strategy.Session)

// What sessions are is the same on either primary, there and back: also data that only
// its digits tell apart, and addresses of both kinds. One that was deleted on one is not
// on the other, nor when it goes back.
func TestSessionsMove(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	cfg.PrimaryRedisURL = testclient.LegacyRedis(t)
	client, other := testclient.Open(t, cfg), testclient.Open(t, cfg)
	var tokens, deleted []string
	create := func(i int) {
		data := sessions.Data{UserID: fmt.Sprintf("user %d é", i%3), UserType: "user", SessionData: []byte(fmt.Sprintf(`{"n":1.%d0, "m": 2}`, i)), TTL: time.Hour}
		data.IPAddress, data.UserAgent = []string{"", "10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1"}[i%4], strconv.Itoa(i)
		s, err := client.Sessions.CreateSession(t.Context(), data).Get()
		require.NoError(t, err)
		tokens = append(tokens, s.SessionToken)
	}
	for i := range 450 { // more than two pages
		create(i)
	}
	list := func(c *repo.Client) (all []sessions.Session) {
		for before := ""; ; {
			page, err := c.Sessions.ListSessions(t.Context(), sessions.Filters{Limit: 1000, Before: before}).Get()
			require.NoError(t, err)
			if all = append(all, page.Sessions...); len(page.Sessions) < 1000 {
				return all
			}
			before = all[len(all)-1].ID
		}
	}
	want := list(client)
	require.Len(t, want, 450)
	for round := range 4 {
		to := []strategy.Config{onRedis, strategy.Default(strategy.Session, false)}[round%2]
		var copied int64
		s := client.Storage.SwitchPrimary(t.Context(), strategy.Session, to, func(p strategy.Progress) { copied = max(copied, p.Done) })
		require.NoError(t, s.Err())
		require.EqualValues(t, len(want), copied)
		require.Equal(t, want, list(client))
		eventually(t, func() bool { return state(t, other, strategy.Session).PrimaryStorage == to.PrimaryStorage })
		require.Equal(t, want, list(other))
		for _, token := range deleted {
			for _, c := range []*repo.Client{client, other} { // a cache may hear of it a moment later
				eventually(t, func() bool {
					return errors.Is(c.Sessions.ValidateSession(t.Context(), token).Err(), result.RecordNotFound)
				})
			}
		}
		for _, token := range tokens {
			require.NoError(t, client.Sessions.ValidateSession(t.Context(), token).Err())
		}
		gone := tokens[len(tokens)-1-round*100]
		require.NoError(t, client.Sessions.DeleteSession(t.Context(), gone).Err())
		deleted = append(deleted, gone)
		tokens = append(tokens[:len(tokens)-1-round*100], tokens[len(tokens)-round*100:]...)
		create(1000 + round)
		want = list(client)
	}
}

// A process without a Redis neither opens what is stored there, nor goes on with
// PostgreSQL where it was open before.
func TestWithoutRedis(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	without := cfg
	without.RedisURL, without.RequireRedis = "", false
	lame := testclient.Open(t, without)
	cfg.PrimaryRedisURL = testclient.LegacyRedis(t)
	client := testclient.Open(t, cfg)
	require.NoError(t, client.Storage.SwitchStorageStrategy(t.Context(), strategy.Session, onRedis).Err())
	_, err := repo.Open(t.Context(), without)
	require.ErrorIs(t, err, result.InvalidQuery)
	require.Equal(t, "primaryStorage", result.From(err).Field())
	require.ErrorContains(t, err, "session")
	eventually(t, func() bool { return state(t, lame, strategy.Session).PrimaryStorage == strategy.PrimaryRedis })
	data := sessions.Data{UserID: "u", UserType: "user", SessionData: []byte(`{}`)}
	require.ErrorIs(t, lame.Sessions.CreateSession(t.Context(), data).Err(), result.ConnectionFailed)
	_, err = lame.Sessions.ListSessions(t.Context(), sessions.Filters{}).Get()
	require.ErrorIs(t, err, result.ConnectionFailed)
}

// Data that nobody copies stays where it is; where there is none, the type moves.
func TestMovesWithoutAMover(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	cfg.PrimaryRedisURL = testclient.LegacyRedis(t)
	client := testclient.Open(t, cfg)
	client.Storage.Switches.Movers = nil
	to := func(c strategy.Config) error {
		return client.Storage.SwitchStorageStrategy(t.Context(), strategy.Session, c).Err()
	}
	data := sessions.Data{UserID: "u", UserType: "user", SessionData: []byte(`{}`)}
	require.NoError(t, to(onRedis))
	s, err := client.Sessions.CreateSession(t.Context(), data).Get()
	require.NoError(t, err)
	require.Equal(t, "primaryStorage", result.From(to(strategy.Default(strategy.Session, false))).Field())
	require.NoError(t, client.Sessions.DeleteSession(t.Context(), s.SessionToken).Err())
	require.NoError(t, to(strategy.Default(strategy.Session, false)))
	require.NoError(t, client.Sessions.CreateSession(t.Context(), data).Err())
	require.Equal(t, "primaryStorage", result.From(to(onRedis)).Field())
}

// What a Redis holds that has never been the primary is somebody else's: it is not
// deleted, and stops the move.
func TestMoveDeletesNothingForeign(t *testing.T) {
	t.Parallel()
	theirs := testclient.Config(t)
	theirs.PrimaryRedisURL = testclient.LegacyRedis(t)
	owner := testclient.OnRedis(t, theirs, strategy.APIKey, strategy.Account)
	foreignKey, err := owner.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "theirs"}).Get()
	require.NoError(t, err)
	account := accounts.AccountData{Name: "a", Platform: accounts.Bedrock}
	foreignAccount, err := owner.Accounts.CreateAccount(t.Context(), account).Get()
	require.NoError(t, err)

	cfg := testclient.Config(t)
	cfg.PrimaryRedisURL = theirs.PrimaryRedisURL
	client := testclient.Open(t, cfg)
	require.NoError(t, client.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "ours"}).Err())
	require.NoError(t, client.Accounts.CreateAccount(t.Context(), account).Err())
	for kind, detail := range map[strategy.DataType][2]string{
		strategy.APIKey: {"keyId", foreignKey.ID}, strategy.Account: {"accountId", foreignAccount.ID},
	} {
		failed := client.Storage.SwitchPrimary(t.Context(), kind, strategy.DefaultOn(strategy.PrimaryRedis, kind), nil).Err()
		require.ErrorIs(t, failed, result.InvalidQuery)
		require.Equal(t, detail[1], result.From(failed).Details[detail[0]])
		require.Equal(t, strategy.PrimaryPostgres, state(t, client, kind).PrimaryStorage)
	}
	require.NoError(t, owner.APIKeys.GetAPIKey(t.Context(), foreignKey.ID).Err())
	require.NoError(t, owner.Accounts.GetAccount(t.Context(), foreignAccount.ID).Err())
}
