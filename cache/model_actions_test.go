package cache_test

import (
	"context"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/cache"
)

// actions are as likely as each other, so that what breaks things is one.
func (m *model) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"overtake a fill":   m.overtake,
		"evict a tombstone": m.evictTombstone,
		"lose a write":      m.loseWrite,
		"read own write":    m.readOwnWrite,
		"primary": func(rt *rapid.T) {
			down := rapid.Bool().Draw(rt, "down")
			m.tell("the primary is down: %t", down)
			m.b.primary.fail(map[bool]error{true: errDown}[down])
		},
		"forget while it is down": m.comeAndGo,
		"read": func(rt *rapid.T) {
			p, key := m.member(rt), m.key(rt)
			m.cool(rt, p, key)
			m.read(rt, p, key)
		},
		"read everywhere": func(rt *rapid.T) {
			key := m.key(rt)
			for _, p := range m.members {
				m.read(rt, p, key)
			}
		},
		"replicate":        m.replicate,
		"fail over":        m.failOver,
		"interrupt a fill": m.interrupt,
		"write":            func(rt *rapid.T) { m.write(rt, m.member(rt), m.key(rt)) },
		"write by hand": func(rt *rapid.T) {
			key := m.key(rt)
			m.tell("somebody wrote version %d of %x", m.b.primary.next(key, rapid.Bool().Draw(rt, "gone")), key[:2])
		},
		"begin fill": func(rt *rapid.T) { m.start(m.begin(m.member(rt), m.key(rt))) },
		"finish fill": func(rt *rapid.T) {
			if len(m.fills) == 0 {
				return
			}
			m.finish(rt, rapid.IntRange(0, len(m.fills)-1).Draw(rt, "fill"))
		},
		"evicted by Redis": func(rt *rapid.T) {
			key := m.key(rt)
			m.tell("Redis evicts %x", key[:2])
			m.redis(rt, m.b.redis.B().Del().Key(m.name(key)).Build())
		},
		"break": func(rt *rapid.T) {
			breaks := []func(*rapid.T){m.network, m.flush, m.latePush, m.drainer}
			rapid.SampledFrom(breaks).Draw(rt, "what")(rt)
		},
	}
}

func (m *model) member(rt *rapid.T) *member {
	return m.members[rapid.IntRange(0, len(m.members)-1).Draw(rt, "process")]
}

// cool makes a process look into Redis for a key, as an eviction would, mostly.
func (m *model) cool(rt *rapid.T, p *member, key cache.Key) bool {
	if rapid.IntRange(0, 3).Draw(rt, "warm") == 0 || p.cut || m.wake != nil {
		return false
	}
	m.b.becomes(func() bool { return p.Fresh(time.Now()) })
	p.Push(p.PushName(kind, key))
	if m.b.raw(key) == "t" { // it expires
		m.redis(rt, m.b.redis.B().Del().Key(m.name(key)).Build())
	}
	m.tell("process %d is fresh, and without %x", p.number, key[:2])
	return true
}

func (m *model) key(rt *rapid.T) cache.Key { return rapid.SampledFrom(m.keys).Draw(rt, "key") }

func (m *model) name(key cache.Key) string { return m.b.drainer.cache.Name(kind, key) }

func (m *model) redis(rt *rapid.T, cmd rueidis.Completed) {
	require.NoError(rt, m.b.redis.Do(context.Background(), cmd).Error())
}

func (m *model) read(rt *rapid.T, p *member, key cache.Key) {
	r := m.begin(p, key)
	ctx, cancel := m.within(p, key)
	defer cancel()
	r.call(ctx)
	m.check(rt, &r)
}

func (m *model) write(rt *rapid.T, p *member, key cache.Key) {
	n := m.b.primary.next(key, rapid.IntRange(0, 3).Draw(rt, "gone") == 0)
	m.b.evict(p.process, key)
	p.floors[key] = n
	m.tell("process %d wrote version %d of %x, fenced %t", p.number, n, key[:2], p.Fenced(key))
}

// within gives a read that may share a held load little time.
func (m *model) within(p *member, key cache.Key) (context.Context, context.CancelFunc) {
	if m.holds(p, key) {
		return context.WithTimeout(context.Background(), joinable)
	}
	return context.WithCancel(context.Background())
}

// start begins a read and leaves it where its load has the primary's answer.
func (m *model) start(r read) {
	f := &fill{read: r, hold: m.b.primary.holdNext(r.key), done: make(chan struct{})}
	go func() {
		f.call(context.Background())
		close(f.done)
	}()
	late := time.After(patience)
	if m.holds(r.member, r.key) {
		late = time.After(joinable)
	}
	select {
	case <-f.hold.reading:
	case <-f.done:
	case <-late:
	}
	if m.b.primary.unhold(r.key, f.hold) {
		f.hold = nil // it was answered without a load, or shares one
	}
	m.fills = append(m.fills, f)
	m.tell("process %d has begun a fill of %x, held %t", r.member.number, r.key[:2], f.hold != nil)
}

// holds tells whether a read of a process may share a load that is held.
func (m *model) holds(p *member, key cache.Key) bool {
	for _, f := range m.fills {
		if f.member == p && f.key == key {
			return true
		}
	}
	return false
}

// finish gives a held load its way. One that shares another's load ends with it.
func (m *model) finish(rt *rapid.T, i int) {
	f := m.fills[i]
	m.fills = append(m.fills[:i:i], m.fills[i+1:]...)
	if f.hold != nil {
		close(f.hold.finish)
	} else if !f.ended() && len(m.fills) > 0 {
		m.fills = append(m.fills, f) // after the others
		return
	}
	<-f.done
	m.check(rt, &f.read)
}

func (f *fill) ended() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}
