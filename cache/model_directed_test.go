package cache_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/cache"
)

// leftOutTime bounds the search for one check; each takes less than 2 s as a rule.
const leftOutTime = time.Minute

// The model finds each check of the cache that is left out.
func TestTheModelFindsWhatIsLeftOut(t *testing.T) {
	t.Parallel()
	for _, check := range []string{"counter", "holds", "lease", "epoch", "tombstone"} {
		t.Run(check, func(t *testing.T) {
			t.Parallel()
			b, _ := private(t)
			b.options = b.options.Without(check)
			members := b.members()
			found, end, checks := false, time.Now().Add(leftOutTime), 0
			rapid.Check(t, func(rt *rapid.T) {
				if found || time.Now().After(end) {
					return
				}
				checks++
				m := newModel(b, members)
				m.found = &found
				defer m.heal(rt)
				actions := m.actions()
				delete(actions, "break") // a broken process shows nothing
				delete(actions, "primary")
				delete(actions, "forget while it is down")
				rt.Repeat(actions)
			})
			t.Log(checks, "checks")
			require.True(t, found)
		})
	}
}

// overtake begins a fill, lets its own process write meanwhile, and ends it.
func (m *model) overtake(rt *rapid.T) {
	p, key := m.member(rt), m.key(rt)
	if m.holds(p, key) || !m.cool(rt, p, key) {
		return
	}
	m.redis(rt, m.b.redis.B().Del().Key(m.name(key)).Build())
	m.start(m.begin(p, key))
	m.write(rt, p, key)
	m.finish(rt, len(m.fills)-1)
	m.read(rt, p, key)
}

// evictTombstone lets a process load, another one write, and a full Redis evict the
// tombstone before the first one fills.
func (m *model) evictTombstone(rt *rapid.T) {
	p, key := m.member(rt), m.key(rt)
	writer := m.members[(p.number+1)%len(m.members)]
	if m.holds(p, key) || m.holds(writer, key) || !m.cool(rt, writer, key) || !m.cool(rt, p, key) {
		return
	}
	m.redis(rt, m.b.redis.B().Del().Key(m.name(key)).Build())
	m.read(rt, p, key)
	m.rest(true)
	defer m.rest(false)
	m.write(rt, writer, key)
	m.redis(rt, m.b.redis.B().Del().Key(m.name(key)).Build())
	m.filled(key)
	m.read(rt, writer, key)
}

// filled waits until Redis holds a record, for as long as a fill takes.
func (m *model) filled(key cache.Key) bool {
	for late := time.Now().Add(2 * joinable); time.Now().Before(late); runtime.Gosched() {
		if strings.HasPrefix(m.b.raw(key), "v") {
			return true
		}
	}
	return false
}

// readOwnWrite writes what Redis holds, and reads it.
func (m *model) readOwnWrite(rt *rapid.T) {
	p, key := m.member(rt), m.key(rt)
	if m.holds(p, key) || !m.cool(rt, p, key) {
		return
	}
	m.read(rt, p, key)
	m.filled(key)
	m.write(rt, p, key)
	m.read(rt, p, key)
}

// loseWrite fails over to a Redis that has not got the last writes.
func (m *model) loseWrite(rt *rapid.T) {
	m.replicate(rt)
	for _, key := range m.keys {
		m.write(rt, m.member(rt), key)
	}
	m.failOver(rt)
}

// comeAndGo loses the connection of a process that holds a record, which changes
// then; the primary says so, and is down a moment later.
func (m *model) comeAndGo(rt *rapid.T) {
	p, key := m.members[len(m.members)-1], m.key(rt)
	if m.holds(p, key) || !m.cool(rt, p, key) {
		return
	}
	m.read(rt, p, key)
	m.tell("process %d loses its connection", p.number)
	p.proxy.Cut()
	p.cut = true
	m.b.becomes(func() bool { return !p.Fresh(time.Now()) })
	m.tell("somebody wrote version %d of %x", m.b.primary.next(key, rapid.Bool().Draw(rt, "gone")), key[:2])
	m.read(rt, p, key)
	m.b.primary.fail(errDown)
	m.read(rt, p, key)
	m.b.primary.fail(nil)
	if rapid.Bool().Draw(rt, "pass") {
		p.pass()
	}
}
