package repo_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

func (b *bundle) session(c *repo.Client, user string) string {
	b.Helper()
	s, err := c.Sessions.CreateSession(b.Context(), sessions.Data{UserID: user, UserType: sessions.User, SessionData: json.RawMessage(`{"n":0}`)}).Get()
	require.NoError(b, err)
	return s.SessionToken
}

func (b *bundle) sessionData(c *repo.Client, token string) string {
	b.Helper()
	v, err := c.Sessions.ValidateSession(b.Context(), token).Get()
	require.NoError(b, err)
	require.True(b, v.IsValid)
	return string(v.SessionData)
}

func (b *bundle) setSession(c *repo.Client, token, data string) {
	b.Helper()
	require.NoError(b, c.Sessions.UpdateSession(b.Context(), token, sessions.Patch{SessionData: json.RawMessage(data)}).Err())
}

// cacheSession makes the clients answer for a user's only session without a look at
// PostgreSQL, which has something else, and gives their answers.
func (b *bundle) cacheSession(user, token string, clients ...*repo.Client) []string {
	b.Helper()
	n := 0
	answers := make([]string, len(clients))
	for i, c := range clients { // one that is cached keeps its answer when the row changes again
		require.Eventually(b, func() bool {
			answers[i] = b.sessionData(c, token)
			n++
			now := fmt.Sprintf(`{"behind":%d}`, n)
			b.behind("UPDATE sessions SET session_data = $2::json WHERE user_id = $1", user, now)
			return b.sessionData(c, token) == answers[i]
		}, time.Minute, time.Millisecond)
	}
	return answers
}

// A session inside is the transaction's, and stays inside until the commit.
func TestTransactionsAndSessions(t *testing.T) {
	b := setup(t)
	other := testclient.Open(t, b.cfg)
	token := b.session(b.Client, "u")
	cached := b.cacheSession("u", token, b.Client, other)
	for _, commit := range []bool{false, true} {
		tx := b.begin(repo.TxOptions{})
		require.NotContains(t, cached, b.sessionData(tx.Client, token), "no cache is asked")
		b.setSession(tx.Client, token, `{"n":1}`)
		for range 3 {
			require.Equal(t, `{"n":1}`, b.sessionData(tx.Client, token))
			require.Equal(t, []string{b.sessionData(b.Client, token), b.sessionData(other, token)}, cached, "nothing is told before the commit")
		}
		if !commit {
			require.NoError(t, b.Transactions.RollbackTransaction(t.Context(), tx.TransactionID).Err())
			require.Equal(t, cached[0], b.sessionData(b.Client, token))
			continue
		}
		b.commit(tx)
		require.Equal(t, `{"n":1}`, b.sessionData(b.Client, token), "at once in this process")
		require.Eventually(t, func() bool { return b.sessionData(other, token) == `{"n":1}` }, time.Minute, time.Millisecond)
	}
}

// A token of a transaction opens nothing before the commit, although it is tried, and
// the session after it.
func TestTransactionsAndUnknownSessions(t *testing.T) {
	b := setup(t)
	other := testclient.Open(t, b.cfg)
	b.cacheSession("warm", b.session(b.Client, "warm"), b.Client, other) // unknown tokens are remembered from now on
	for _, commit := range []bool{false, true} {
		var token string
		err := b.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(c *repo.Client) error {
			token = b.session(c, "u")
			require.Equal(t, `{"n":0}`, b.sessionData(c, token))
			for _, c := range []*repo.Client{b.Client, other} {
				require.ErrorIs(t, c.Sessions.ValidateSession(t.Context(), token).Err(), result.RecordNotFound)
			}
			if !commit {
				return errors.New("undo")
			}
			return nil
		})
		require.Equal(t, commit, err == nil)
		if commit {
			require.Equal(t, `{"n":0}`, b.sessionData(b.Client, token))
			require.Eventually(t, func() bool { return other.Sessions.ValidateSession(t.Context(), token).Err() == nil }, time.Minute, time.Millisecond)
			continue
		}
		require.ErrorIs(t, b.Sessions.ValidateSession(t.Context(), token).Err(), result.RecordNotFound)
	}
}

// Ended sessions are ended at the commit, in each of the ways to end them.
func TestTransactionsEndSessions(t *testing.T) {
	b := setup(t)
	deleted, revoked, expired := b.session(b.Client, "deleted"), b.session(b.Client, "revoked"), b.session(b.Client, "expired")
	cached := append(b.cacheSession("deleted", deleted, b.Client), b.cacheSession("revoked", revoked, b.Client)...)
	b.behind("UPDATE sessions SET expires_at = now() - interval '1 hour' WHERE user_id = 'expired'")
	for _, commit := range []bool{false, true} {
		tx := b.begin(repo.TxOptions{})
		require.NoError(t, tx.Client.Sessions.DeleteSession(t.Context(), deleted).Err())
		gone, err := tx.Client.Sessions.RevokeUserSessions(t.Context(), "revoked").Get()
		require.NoError(t, err)
		require.Equal(t, 1, gone.RevokedSessions)
		cleaned, err := tx.Client.Sessions.CleanupExpiredSessions(t.Context()).Get()
		require.NoError(t, err)
		require.Equal(t, 1, cleaned.DeletedSessions)
		for _, token := range []string{deleted, revoked, expired} {
			require.ErrorIs(t, tx.Client.Sessions.ValidateSession(t.Context(), token).Err(), result.RecordNotFound)
		}
		require.Equal(t, []string{b.sessionData(b.Client, deleted), b.sessionData(b.Client, revoked)}, cached)
		require.Equal(t, 3, b.count("SELECT count(*) FROM sessions"))
		if !commit {
			require.NoError(t, tx.Client.Close(t.Context()))
			continue
		}
		b.commit(tx)
		for _, token := range []string{deleted, revoked, expired} {
			require.ErrorIs(t, b.Sessions.ValidateSession(t.Context(), token).Err(), result.RecordNotFound)
		}
	}
}
