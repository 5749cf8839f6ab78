package sessions_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// modelTime bounds the whole test; what rapid would check beyond it is left out.
const modelTime = 8 * time.Second

// Two processes create, change, end, clean up and validate sessions, and answer as
// a map would: the one that wrote a session last at once, the other as soon as it
// has heard of it, and until then with something that was once right.
func TestSessionsEqualModel(t *testing.T) {
	b := setup(t, longFresh)
	m := &model{b: b, processes: []*process{b.process, b.open(b.cfg)}}
	m.clock = stop(m.processes...)
	start := m.clock.now()
	for _, p := range m.processes {
		b.warm(p, b.create(alice()))
	}
	end, checks := time.Now().Add(modelTime), 0
	rapid.Check(t, func(rt *rapid.T) {
		if time.Now().After(end) {
			return
		}
		checks++
		m.clock.move(start.Sub(m.clock.now()))
		b.exec("DELETE FROM sessions")
		m.sessions = nil
		m.settle(rt)
		m.create(rt) // so that every action has one to act on
		rt.Repeat(map[string]func(*rapid.T){
			"create": m.create, "update": m.update, "delete": m.delete, "validate": m.validate, "validate again": m.validate,
			"time passes": m.pass, "clean up": m.cleanUp, "revoke user": m.revokeUser, "list": m.list, "settle": m.settle,
		})
		m.settle(rt)
	})
	t.Log(checks, "checks,", m.answers, "answers,", m.cached, "of them from the cache")
	require.Positive(t, m.cached, "the cache took part")
}

type model struct {
	b         *bundle
	processes []*process
	clock     *clock
	sessions  []*session
	answers   int
	cached    int // answers during which nothing was read
}

// session is one of the map's. Its states are what validation may have said of it.
type session struct {
	user, token string
	state
	past   []state
	writer *process
}

type state struct {
	data string
	ends time.Time
	gone bool
}

func (s *session) live(now time.Time) bool { return !s.gone && now.Before(s.ends) }

// become is what a write by p makes of a session.
func (s *session) become(p *process, next state) {
	s.past = append(s.past, s.state)
	s.state, s.writer = next, p
}

func (m *model) process(rt *rapid.T) *process {
	return m.processes[rapid.IntRange(0, 1).Draw(rt, "process")]
}

func (m *model) any(rt *rapid.T) *session {
	return m.sessions[rapid.IntRange(max(0, len(m.sessions)-4), len(m.sessions)-1).Draw(rt, "session")]
}

func ttl(rt *rapid.T) time.Duration {
	return time.Duration(rapid.IntRange(1, 60).Draw(rt, "ttl")) * time.Second
}

func data(rt *rapid.T) string {
	return fmt.Sprintf(`{"n": %d.0}`, rapid.IntRange(0, 999).Draw(rt, "n"))
}

func (m *model) create(rt *rapid.T) {
	p, user := m.process(rt), rapid.SampledFrom([]string{"alice", "bob"}).Draw(rt, "user")
	d := sessions.Data{UserID: user, UserType: sessions.User, SessionData: json.RawMessage(data(rt)), TTL: ttl(rt)}
	c, err := p.CreateSession(m.b.ctx(), d).Get()
	require.NoError(rt, err)
	s := &session{user: user, token: c.SessionToken, writer: p, state: state{data: string(d.SessionData), ends: m.clock.now().Add(d.TTL)}}
	require.True(rt, c.ExpiresAt.Equal(s.ends))
	m.sessions = append(m.sessions, s)
	for _, p := range m.processes {
		m.check(rt, p, s)
	}
}

func (m *model) update(rt *rapid.T) {
	p, s := m.process(rt), m.any(rt)
	next, patch := s.state, sessions.Patch{}
	if rapid.Bool().Draw(rt, "data?") {
		next.data = data(rt)
		patch.SessionData = json.RawMessage(next.data)
	}
	if rapid.Bool().Draw(rt, "extend?") {
		patch.ExtendTTL = ttl(rt)
		next.ends = m.clock.now().Add(patch.ExtendTTL)
	}
	u, err := p.UpdateSession(m.b.ctx(), s.token, patch).Get()
	if s.live(m.clock.now()) {
		require.NoError(rt, err)
		require.True(rt, u.ExpiresAt.Equal(next.ends))
		s.become(p, next)
	} else {
		require.ErrorIs(rt, err, result.RecordNotFound)
	}
	m.check(rt, p, s)
}

func (m *model) delete(rt *rapid.T) {
	p, s := m.process(rt), m.any(rt)
	err := p.DeleteSession(m.b.ctx(), s.token).Err()
	require.Equal(rt, s.gone, errors.Is(err, result.RecordNotFound), "%v", err)
	s.become(p, state{gone: true})
	m.check(rt, p, s)
}

func (m *model) validate(rt *rapid.T) { m.check(rt, m.process(rt), m.any(rt)) }

func (m *model) pass(rt *rapid.T) {
	m.clock.move(time.Duration(rapid.IntRange(1, 5_000_000).Draw(rt, "micros")) * time.Microsecond)
}

func (m *model) cleanUp(rt *rapid.T) {
	p, want := m.process(rt), 0
	for _, s := range m.sessions {
		if !s.gone && !s.live(m.clock.now()) {
			s.become(nil, state{gone: true})
			want++
		}
	}
	c, err := p.CleanupExpiredSessions(m.b.ctx()).Get()
	require.NoError(rt, err)
	require.Equal(rt, want, c.DeletedSessions)
}

func (m *model) revokeUser(rt *rapid.T) {
	p, want := m.process(rt), 0
	for _, s := range m.sessions {
		if s.user == "bob" && !s.gone {
			s.become(p, state{gone: true})
			want++
		}
	}
	r, err := p.RevokeUserSessions(m.b.ctx(), "bob").Get()
	require.NoError(rt, err)
	require.Equal(rt, want, r.RevokedSessions)
}

// settle waits until everybody has heard of everything, and caches it.
func (m *model) settle(rt *rapid.T) {
	m.b.told()
	for range 3 {
		for _, s := range m.sessions {
			for _, p := range m.processes {
				m.check(rt, p, s)
			}
		}
	}
}

func (m *model) list(rt *rapid.T) {
	var want []string
	for _, s := range slices.Backward(m.sessions) {
		if !s.gone {
			want = append(want, fmt.Sprint(s.user, s.ends.UTC(), s.live(m.clock.now())))
		}
	}
	page, err := m.process(rt).ListSessions(m.b.ctx(), sessions.Filters{Limit: 1000}).Get()
	require.NoError(rt, err)
	var got []string
	for _, s := range page.Sessions {
		got = append(got, fmt.Sprint(s.UserID, s.ExpiresAt, s.IsValid))
	}
	require.Equal(rt, want, got)
}

// check validates until a process says what the map says: the one that wrote last
// has one try.
func (m *model) check(rt *rapid.T, p *process, s *session) {
	for late := time.Now().Add(patience); ; {
		got, before := state{gone: true}, p.reads.Load()
		v, err := p.ValidateSession(m.b.ctx(), s.token).Get()
		m.answers++
		if p.reads.Load() == before {
			m.cached++
		}
		if err == nil {
			got = state{data: string(v.SessionData), ends: v.ExpiresAt}
			require.Equal(rt, s.user, v.UserID)
			require.Equal(rt, m.clock.now().Before(v.ExpiresAt), v.IsValid)
		} else {
			require.ErrorIs(rt, err, result.RecordNotFound)
		}
		if same(got, s.state) {
			return
		}
		require.NotSame(rt, s.writer, p, "the writer has %+v, and the map has %+v", got, s.state)
		require.True(rt, slices.ContainsFunc(s.past, func(old state) bool { return same(got, old) }), "%+v was never right: %+v", got, s)
		require.False(rt, got.gone, "an old session came back after it was gone, or before it was there")
		require.True(rt, time.Now().Before(late), "%+v, and the map has %+v", got, s.state)
	}
}

func same(a, b state) bool {
	return a.gone == b.gone && (a.gone || a.data == b.data && a.ends.Equal(b.ends))
}
