package repotest

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// What ends is in sessionExpiry alone, which cleans up.
var sessionTests = []test{
	{"CRUD", sessionCRUD}, {"lists", sessionLists}, {"expiry", sessionExpiry}, {"concurrency", sessionConcurrency},
	{"errors", sessionErrors}, {"equals a model", sessionModel},
}

func (b *bundle) session(data sessions.Data) sessions.Created {
	b.Helper()
	if data.UserID == "" {
		data.UserID = "user"
	}
	if data.SessionData == nil {
		data.SessionData = json.RawMessage("{}")
	}
	data.UserType = sessions.User
	return get(b, b.one.Sessions.CreateSession(b.ctx(), data))
}

func sessionCRUD(b *bundle) {
	all, begun := b.one.Sessions, time.Now()
	data := json.RawMessage(`{"b": 1.0, "a":["ü",null]}`)
	s := b.session(sessions.Data{UserID: "ж", SessionData: data, TTL: time.Hour, IPAddress: "2001:db8::1", UserAgent: "ua"})
	require.Len(b, s.SessionToken, 64)
	require.WithinRange(b, s.ExpiresAt, begun.Add(time.Hour-patience), time.Now().Add(time.Hour+patience))
	require.WithinDuration(b, time.Now().Add(sessions.DefaultTTL), b.session(sessions.Data{}).ExpiresAt, patience)
	v := get(b, all.ValidateSession(b.ctx(), s.SessionToken))
	require.Equal(b, []any{"ж", sessions.User, true}, []any{v.UserID, v.UserType, v.IsValid})
	require.Equal(b, string(data), string(v.SessionData), "as it went in, byte by byte")
	require.True(b, v.ExpiresAt.Equal(s.ExpiresAt))

	large := json.RawMessage(`{"x":"` + strings.Repeat("y", 10_000) + `"}`)
	u := get(b, all.UpdateSession(b.ctx(), s.SessionToken, sessions.Patch{SessionData: large}))
	require.True(b, u.ExpiresAt.Equal(s.ExpiresAt))
	u = get(b, all.UpdateSession(b.ctx(), s.SessionToken, sessions.Patch{ExtendTTL: 2 * time.Hour}))
	require.True(b, u.ExpiresAt.After(s.ExpiresAt))
	b.sees(func() bool {
		v = get(b, all.ValidateSession(b.ctx(), s.SessionToken))
		return v.ExpiresAt.Equal(u.ExpiresAt) && string(v.SessionData) == string(large)
	}, "read your writes")
	require.NoError(b, all.DeleteSession(b.ctx(), s.SessionToken).Err())
	for _, err := range []error{
		all.ValidateSession(b.ctx(), s.SessionToken).Err(), all.DeleteSession(b.ctx(), s.SessionToken).Err(),
		all.UpdateSession(b.ctx(), s.SessionToken, sessions.Patch{ExtendTTL: time.Hour}).Err(),
	} {
		require.ErrorIs(b, err, result.RecordNotFound)
	}
}

func sessionLists(b *bundle) {
	user := uuid.NewString()
	var tokens []string
	for range 5 {
		tokens = append(tokens, b.session(sessions.Data{UserID: user}).SessionToken)
	}
	first := get(b, b.two.Sessions.ListSessions(b.ctx(), sessions.Filters{UserID: user, Limit: 3})).Sessions
	require.Len(b, first, 3)
	rest := get(b, b.two.Sessions.ListSessions(b.ctx(), sessions.Filters{UserID: user, Before: first[2].ID})).Sessions
	require.Len(b, rest, 2)
	for i, s := range append(first, rest...) {
		require.True(b, s.IsValid && s.UserID == user)
		require.True(b, i == 0 || s.ID < first[0].ID, "the newest first")
	}
	require.NoError(b, b.one.Sessions.RevokeSession(b.ctx(), first[0].ID).Err())
	require.ErrorIs(b, b.one.Sessions.ValidateSession(b.ctx(), tokens[4]).Err(), result.RecordNotFound)
	require.Equal(b, 4, get(b, b.one.Sessions.RevokeUserSessions(b.ctx(), user)).RevokedSessions)
	for _, token := range tokens {
		b.eventually(func() bool { return b.two.Sessions.ValidateSession(b.ctx(), token).Err() != nil }, "the other hears of it")
	}
}

func sessionExpiry(b *bundle) {
	s := b.session(sessions.Data{TTL: time.Second})
	for _, c := range b.clients() {
		b.eventually(func() bool {
			begun := time.Now()
			v := get(b, c.Sessions.ValidateSession(b.ctx(), s.SessionToken))
			require.True(b, v.IsValid || !time.Now().Before(s.ExpiresAt), "not before its end")
			require.False(b, v.IsValid && begun.After(s.ExpiresAt), "not after it")
			return !v.IsValid
		}, "it ends")
	}
	require.ErrorIs(b, b.one.Sessions.UpdateSession(b.ctx(), s.SessionToken, sessions.Patch{ExtendTTL: time.Hour}).Err(), result.RecordNotFound)
	require.Positive(b, get(b, b.two.Sessions.CleanupExpiredSessions(b.ctx())).DeletedSessions)
	for _, c := range b.clients() {
		require.ErrorIs(b, c.Sessions.ValidateSession(b.ctx(), s.SessionToken).Err(), result.RecordNotFound)
	}
}

func sessionConcurrency(b *bundle) {
	s := b.session(sessions.Data{})
	require.Zero(b, b.failures(b.together(8, func(c *repo.Client, i int) error {
		if i < 4 {
			return c.Sessions.UpdateSession(b.ctx(), s.SessionToken, sessions.Patch{SessionData: json.RawMessage(`{"n":1}`)}).Err()
		}
		return c.Sessions.UpdateSession(b.ctx(), s.SessionToken, sessions.Patch{ExtendTTL: 48 * time.Hour}).Err()
	}), ""))
	v := get(b, b.one.Sessions.ValidateSession(b.ctx(), s.SessionToken))
	b.eventually(func() bool {
		v = get(b, b.one.Sessions.ValidateSession(b.ctx(), s.SessionToken))
		return string(v.SessionData) == `{"n":1}` && v.ExpiresAt.After(s.ExpiresAt)
	}, "both last")
	gone := b.together(8, func(c *repo.Client, _ int) error { return c.Sessions.DeleteSession(b.ctx(), s.SessionToken).Err() })
	require.Equal(b, 7, b.failures(gone, result.RecordNotFound))
}

func sessionErrors(b *bundle) {
	all, ctx := b.one.Sessions, b.ctx()
	good := sessions.Data{UserID: "u", UserType: sessions.User, SessionData: json.RawMessage("{}")}
	with := func(change func(*sessions.Data)) error {
		d := good
		change(&d)
		return all.CreateSession(ctx, d).Err()
	}
	token := b.session(sessions.Data{}).SessionToken
	for _, c := range []struct {
		err   error
		code  result.Code
		field string
	}{
		{with(func(d *sessions.Data) { d.UserID = "" }), result.InvalidQuery, "userId"},
		{with(func(d *sessions.Data) { d.UserType = "x" }), result.InvalidQuery, "userType"},
		{with(func(d *sessions.Data) { d.SessionData = json.RawMessage("[]") }), result.InvalidQuery, "sessionData"},
		{with(func(d *sessions.Data) { d.SessionData = json.RawMessage(`{"a":1,"a":2}`) }), result.InvalidQuery, "sessionData"},
		{with(func(d *sessions.Data) { d.TTL = -time.Second }), result.InvalidQuery, "ttlSeconds"},
		{with(func(d *sessions.Data) { d.IPAddress = "x" }), result.InvalidQuery, "ipAddress"},
		{all.ValidateSession(ctx, "").Err(), result.InvalidQuery, "sessionToken"},
		{all.ValidateSession(ctx, strings.Repeat("0", 64)).Err(), result.RecordNotFound, ""},
		{all.UpdateSession(ctx, token, sessions.Patch{ExtendTTL: -1}).Err(), result.InvalidQuery, "extendTTL"},
		{all.ListSessions(ctx, sessions.Filters{Limit: 1001}).Err(), result.InvalidQuery, "limit"},
		{all.RevokeSession(ctx, uuid.NewString()).Err(), result.RecordNotFound, ""},
	} {
		b.refused(c.err, c.code, c.field)
	}
	b.cancelled(with(func(*sessions.Data) { ctx = b.gone() }))
}
