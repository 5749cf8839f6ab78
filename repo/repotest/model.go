package repotest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// kind is a data type as the model sees it: records of one number. read may be
// answered from a cache, stored is not; nil is for one that always may. A record that
// is gone is RecordNotFound. A name is all that the methods need to know of a record.
type kind struct {
	create func(c *repo.Client, n int64) (name string, err error)
	update func(c *repo.Client, name string, n int64) error
	remove func(c *repo.Client, name string) error
	read   func(c *repo.Client, name string) (int64, error)
	stored func(c *repo.Client, name string) (int64, error)
}

func keyModel(b *bundle) {
	hashes := make(map[string]string)
	b.equalsModel(kind{
		create: func(c *repo.Client, n int64) (string, error) {
			k, err := c.APIKeys.CreateAPIKey(b.ctx(), apikeys.KeyData{Name: "model", RateLimitRequests: n}).Get()
			hashes[k.ID] = k.HashedKey
			return k.ID, err
		},
		update: func(c *repo.Client, id string, n int64) error {
			return c.APIKeys.UpdateAPIKey(b.ctx(), id, apikeys.Patch{RateLimitRequests: result.Set(n)}).Err()
		},
		remove: func(c *repo.Client, id string) error { return c.APIKeys.DeleteAPIKey(b.ctx(), id).Err() },
		read: func(c *repo.Client, id string) (int64, error) {
			v, err := c.APIKeys.ValidateAPIKey(b.ctx(), hashes[id]).Get()
			return v.RateLimits.Requests, err
		},
		stored: func(c *repo.Client, id string) (int64, error) {
			k, err := c.APIKeys.GetAPIKey(b.ctx(), id).Get()
			return k.RateLimitRequests, err
		},
	})
}

func accountModel(b *bundle) {
	oauth := func(n int64) accounts.OAuthData {
		return accounts.OAuthData{AccessToken: strconv.FormatInt(n, 10), RefreshToken: "r", Scopes: []string{"s"}, ExpiresAt: time.UnixMilli(n * 1000).UTC()}
	}
	b.equalsModel(kind{
		create: func(c *repo.Client, n int64) (string, error) {
			data := oauth(n)
			a, err := c.Accounts.CreateClaudeAccount(b.ctx(), accounts.AccountData{Name: "model", OAuthData: &data}).Get()
			return a.ID, err
		},
		update: func(c *repo.Client, id string, n int64) error {
			return c.Accounts.SetCredentials(b.ctx(), id, accounts.CredentialsPatch{OAuthData: result.Set(oauth(n))}).Err()
		},
		remove: func(c *repo.Client, id string) error { return c.Accounts.DeleteAccount(b.ctx(), id).Err() },
		read: func(c *repo.Client, id string) (n int64, err error) {
			v, err := c.Accounts.GetCredentials(b.ctx(), id).Get()
			if err == nil {
				_, err = fmt.Sscan(v.AccessToken, &n)
			}
			return n, err
		},
		stored: func(c *repo.Client, id string) (int64, error) {
			a, err := c.Accounts.GetClaudeAccount(b.ctx(), id).Get()
			return a.TokenExpiresAt.Unix(), err
		},
	})
}

func sessionModel(b *bundle) {
	data := func(n int64) json.RawMessage { return json.RawMessage(fmt.Sprint(`{"n":`, n, `}`)) }
	b.equalsModel(kind{
		create: func(c *repo.Client, n int64) (string, error) {
			s, err := c.Sessions.CreateSession(b.ctx(), sessions.Data{UserID: "model", UserType: sessions.User, SessionData: data(n)}).Get()
			return s.SessionToken, err
		},
		update: func(c *repo.Client, token string, n int64) error {
			return c.Sessions.UpdateSession(b.ctx(), token, sessions.Patch{SessionData: data(n)}).Err()
		},
		remove: func(c *repo.Client, token string) error { return c.Sessions.DeleteSession(b.ctx(), token).Err() },
		read: func(c *repo.Client, token string) (int64, error) {
			v, err := c.Sessions.ValidateSession(b.ctx(), token).Get()
			var d struct{ N int64 }
			if err == nil {
				err = json.Unmarshal(v.SessionData, &d)
			}
			return d.N, err
		},
	})
}

// gone is the number of a record that is deleted.
const gone = -1

type record struct {
	name string
	past []int64 // the last one is what it is now
}

func (r *record) now() int64 { return r.past[len(r.past)-1] }

type model struct {
	*bundle
	kind

	records []*record
	next    int64
}

// equalsModel draws calls of both clients. Each write is seen by its own client at
// once, by the other one soon, and until then it gives nothing but what was once
// right; nothing old comes back.
func (b *bundle) equalsModel(k kind) {
	end, checks := time.Now().Add(modelTime), 0
	rapid.Check(b, func(rt *rapid.T) {
		if time.Now().After(end) {
			return
		}
		checks++
		m := &model{bundle: b, kind: k}
		m.write(rt, "create")
		rt.Repeat(map[string]func(*rapid.T){
			"create": func(rt *rapid.T) { m.write(rt, "create") },
			"update": func(rt *rapid.T) { m.write(rt, "update") },
			"delete": func(rt *rapid.T) { m.write(rt, "delete") },
			"read":   func(rt *rapid.T) { m.see(rt, m.client(rt), m.any(rt), true) },
		})
	})
	b.Log(checks, "checks")
}

func (m *model) client(rt *rapid.T) *repo.Client {
	return rapid.SampledFrom(m.clients()).Draw(rt, "client")
}

func (m *model) any(rt *rapid.T) *record {
	return m.records[rapid.IntRange(max(0, len(m.records)-3), len(m.records)-1).Draw(rt, "record")]
}

func (m *model) write(rt *rapid.T, what string) {
	c := m.client(rt)
	m.next++
	var r *record
	var err error
	switch what {
	case "create":
		r = &record{past: []int64{gone, m.next}}
		r.name, err = m.create(c, m.next)
		m.records = append(m.records, r)
		require.NoError(rt, err)
	case "update":
		r = m.any(rt)
		m.change(rt, r, m.update(c, r.name, m.next), m.next)
	case "delete":
		r = m.any(rt)
		m.change(rt, r, m.remove(c, r.name), gone)
	}
	for _, reader := range m.clients() {
		m.see(rt, reader, r, reader == c)
	}
}

// change notes what a call made of a record, which fails where there is none.
func (m *model) change(rt *rapid.T, r *record, err error, n int64) {
	if r.now() == gone {
		require.ErrorIs(rt, err, result.RecordNotFound)
		return
	}
	require.NoError(rt, err)
	r.past = append(r.past, n)
}

func (m *model) see(rt *rapid.T, c *repo.Client, r *record, atOnce bool) {
	if m.stored != nil {
		require.Equal(rt, r.now(), known(rt, m.stored, c, r.name), "what is stored")
	}
	for late := time.Now().Add(patience); ; {
		got := known(rt, m.read, c, r.name)
		if got == r.now() {
			return
		}
		require.False(rt, atOnce, "its own client, or one that has seen it, reads %d and not %d", got, r.now())
		require.True(rt, slices.Contains(r.past, got), "%d was never right: %v", got, r.past)
		require.True(rt, time.Now().Before(late), "%d, and not %v", got, r.past)
		time.Sleep(time.Millisecond)
	}
}

func known(rt *rapid.T, read func(*repo.Client, string) (int64, error), c *repo.Client, name string) int64 {
	n, err := read(c, name)
	if errors.Is(err, result.RecordNotFound) {
		return gone
	}
	require.NoError(rt, err)
	return n
}

// gone is the context of a caller who has left.
func (b *bundle) gone() context.Context {
	ctx, cancel := context.WithCancel(b.ctx())
	cancel()
	return ctx
}

func (b *bundle) cancelled(err error) {
	b.Helper()
	require.ErrorIs(b, err, result.Cancelled)
	require.ErrorIs(b, err, context.Canceled)
}
