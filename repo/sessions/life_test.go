package sessions_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

func TestLife(t *testing.T) {
	for name, change := range map[string]func(*repo.Config){"cached": func(*repo.Config) {}, "uncached": uncached, "pooled": pooled} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, change)
			c := b.created(sessions.Data{
				UserID: "root", UserType: sessions.Admin, SessionData: json.RawMessage(`{"a": 1}`),
				TTL: time.Hour, IPAddress: "::ffff:192.0.2.7", UserAgent: "curl/8",
			})
			require.Regexp(t, `^[0-9a-f]{64}$`, c.SessionToken)
			want := sessions.Validation{UserID: "root", UserType: sessions.Admin, SessionData: json.RawMessage(`{"a": 1}`), ExpiresAt: c.ExpiresAt, IsValid: true}
			for range 3 { // from the primary, then from Redis or the process
				require.Equal(t, want, b.says(b.process, c.SessionToken))
			}
			u, err := b.UpdateSession(b.ctx(), c.SessionToken, sessions.Patch{SessionData: json.RawMessage(`{"b":2}`)}).Get()
			require.NoError(t, err)
			require.Equal(t, c.ExpiresAt, u.ExpiresAt)
			want.SessionData = json.RawMessage(`{"b":2}`)
			require.Equal(t, want, b.says(b.process, c.SessionToken))

			require.NoError(t, b.DeleteSession(b.ctx(), c.SessionToken).Err())
			require.True(t, b.unknown(b.process, c.SessionToken))
			require.ErrorIs(t, b.DeleteSession(b.ctx(), c.SessionToken).Err(), result.RecordNotFound)
			require.ErrorIs(t, b.UpdateSession(b.ctx(), c.SessionToken, sessions.Patch{ExtendTTL: time.Hour}).Err(), result.RecordNotFound)
			require.Zero(t, b.count())
		})
	}
}

func TestTTL(t *testing.T) {
	b := setup(t)
	now := stop(b.process)
	for ttl, want := range map[time.Duration]time.Duration{
		0: 24 * time.Hour, time.Millisecond: time.Millisecond, 90 * time.Second: 90 * time.Second, 36500 * 24 * time.Hour: 36500 * 24 * time.Hour,
	} {
		data := alice()
		data.TTL = ttl
		c := b.created(data)
		require.Equal(t, want, c.ExpiresAt.Sub(now.now()), ttl)
		require.Equal(t, c.ExpiresAt, b.says(b.process, c.SessionToken).ExpiresAt)
	}
}

func TestExtendCountsFromNow(t *testing.T) {
	b := setup(t)
	now := stop(b.process)
	token := b.create(alice())
	now.move(time.Second)
	for _, ttl := range []time.Duration{48 * time.Hour, time.Minute} { // longer, and sooner
		u, err := b.UpdateSession(b.ctx(), token, sessions.Patch{ExtendTTL: ttl}).Get()
		require.NoError(t, err)
		require.Equal(t, ttl, u.ExpiresAt.Sub(now.now()))
		v := b.says(b.process, token)
		require.Equal(t, u.ExpiresAt, v.ExpiresAt)
		require.JSONEq(t, `{"theme":"dark"}`, string(v.SessionData), "what is absent stays")
	}
	u, err := b.UpdateSession(b.ctx(), token, sessions.Patch{}).Get()
	require.NoError(t, err)
	require.Equal(t, b.says(b.process, token).ExpiresAt, u.ExpiresAt)
}

// A session ends by the clock of the call, to the microsecond, for validation and
// for updates alike, and what follows does not tell whether it is still stored.
func TestTheEnd(t *testing.T) {
	b := setup(t)
	now := stop(b.process)
	data := alice()
	data.TTL = time.Minute
	token, extend := b.create(data), sessions.Patch{ExtendTTL: time.Hour, SessionData: json.RawMessage(`{"late":true}`)}
	b.warm(b.process, token)
	now.move(time.Minute - time.Nanosecond)
	require.True(t, b.says(b.process, token).IsValid)
	require.NoError(t, b.UpdateSession(b.ctx(), token, sessions.Patch{}).Err())
	now.move(time.Nanosecond)
	v := b.says(b.process, token)
	require.False(t, v.IsValid)
	v.IsValid = true
	require.Equal(t, sessions.Validation{UserID: "alice", UserType: "user", SessionData: data.SessionData, ExpiresAt: now.now().UTC(), IsValid: true}, v)

	require.ErrorIs(t, b.UpdateSession(b.ctx(), token, extend).Err(), result.RecordNotFound)
	require.False(t, b.says(b.process, token).IsValid)
	done, err := b.CleanupExpiredSessions(b.ctx()).Get()
	require.NoError(t, err)
	require.Equal(t, sessions.Cleaned{DeletedSessions: 1}, done)
	require.ErrorIs(t, b.UpdateSession(b.ctx(), token, extend).Err(), result.RecordNotFound)
	require.True(t, b.unknown(b.process, token))

	token = b.create(data)
	now.move(time.Hour)
	require.NoError(t, b.DeleteSession(b.ctx(), token).Err(), "one that has ended can be deleted")
}

func TestIPAddressAndUserAgentAreStored(t *testing.T) {
	b := setup(t)
	for given, want := range map[string]string{"": "", "192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:DB8::1": "2001:db8::1"} {
		data := alice()
		data.IPAddress, data.UserAgent = given, "agent of "+given
		b.create(data)
		page, err := b.ListSessions(b.ctx(), sessions.Filters{Limit: 1}).Get()
		require.NoError(t, err)
		require.Equal(t, want, page.Sessions[0].IPAddress)
		require.Equal(t, data.UserAgent, page.Sessions[0].UserAgent)
	}
}
