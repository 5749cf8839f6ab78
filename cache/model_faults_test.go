package cache_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
)

// interrupt stalls a process between the lease that it takes and its fill, where
// another one mostly writes, which then looks into Redis.
func (m *model) interrupt(rt *rapid.T) {
	p, key := m.member(rt), m.key(rt)
	if !m.cool(rt, p, key) || m.holds(p, key) {
		return
	}
	m.redis(rt, m.b.redis.B().Del().Key(m.name(key)).Build())
	version := m.b.primary.versionAt(key, time.Now())
	struck := p.proxy.On(faultproxy.ToServer, fmt.Sprintf("v%d %d", p.Epoch(), version), faultproxy.StallBefore)
	m.read(rt, p, key)
	select {
	case <-struck:
		m.tell("process %d is stalled in its fill of %x", p.number, key[:2])
		writer := m.members[(p.number+1)%len(m.members)]
		if rapid.IntRange(0, 3).Draw(rt, "untouched") > 0 {
			m.write(rt, writer, key)
		}
		p.pass()
		_ = p.Tell(context.Background(), kind, []cache.Key{cache.KeyOf(-1)}) // is behind the fill
		m.cool(rt, writer, key)
		m.read(rt, writer, key)
	case <-time.After(5 * joinable): // there is no record to fill with
		p.pass()
	}
}

// pass mends the network, and takes back a fault that has not happened.
func (p *member) pass() {
	p.proxy.On(faultproxy.ToServer, "never", faultproxy.CutBefore)
	p.proxy.Pass()
	p.cut = false
}

func (m *model) flush(rt *rapid.T) {
	m.tell("flush")
	m.redis(rt, m.b.redis.B().Flushdb().Build())
}

func (m *model) latePush(rt *rapid.T) {
	p := m.member(rt)
	m.tell("process %d gets a late push", p.number)
	p.Push(rapid.SampledFrom([]string{"", p.PushName(kind, m.key(rt))}).Draw(rt, "name"))
}

func (m *model) drainer(rt *rapid.T) {
	m.b.drainer.again(rapid.Bool().Draw(rt, "twice"))
	m.rest(rapid.Bool().Draw(rt, "rest"))
}

func (m *model) network(rt *rapid.T) {
	p := m.member(rt)
	what := rapid.SampledFrom([]string{"pass", "pass", "lose", "lose", "cut", "cut", "stall"}).Draw(rt, "network")
	m.tell("process %d: %s", p.number, what)
	switch what {
	case "pass":
		p.pass()
	case "lose":
		p.proxy.CutOnce()
	case "cut":
		p.proxy.Cut()
		p.cut = true
	case "stall":
		p.proxy.Stall()
		p.cut = true
	}
}

func (m *model) rest(yes bool) {
	m.tell("the drainer rests: %t", yes)
	switch {
	case yes && m.wake == nil:
		m.wake = m.b.drainer.rest()
	case !yes && m.wake != nil:
		m.wake()
		m.wake = nil
	}
}

// replicate copies what Redis holds, mostly after a fill.
func (m *model) replicate(rt *rapid.T) {
	p, key := m.member(rt), m.key(rt)
	if m.cool(rt, p, key) {
		m.read(rt, p, key)
		filled := func() bool { return strings.HasPrefix(m.b.raw(key), "v") }
		for late := time.Now().Add(2 * joinable); !filled() && time.Now().Before(late); {
			runtime.Gosched()
		}
	}
	m.replica = make(map[string]string)
	for _, name := range []string{m.b.drainer.cache.HeartbeatName(), m.name(m.keys[0]), m.name(m.keys[1])} {
		value, err := m.b.redis.Do(context.Background(), m.b.redis.B().Get().Key(name).Build()).ToString()
		if !rueidis.IsRedisNil(err) {
			require.NoError(rt, err)
		}
		m.replica[name] = value
	}
	m.tell("replica: %q", m.replica)
}

// failOver puts the copy in Redis' place; everybody has to connect anew.
func (m *model) failOver(rt *rapid.T) {
	if m.replica == nil {
		return
	}
	m.tell("fail over")
	for _, p := range m.members {
		p.proxy.Cut()
	}
	m.b.drainer.moved.Store(true)
	cmds := rueidis.Commands{m.b.redis.B().Multi().Build()}
	for name, value := range m.replica {
		if value == "" {
			cmds = append(cmds, m.b.redis.B().Del().Key(name).Build())
			continue
		}
		cmds = append(cmds, m.b.redis.B().Set().Key(name).Value(value).Ex(time.Minute).Build())
	}
	for _, reply := range m.b.redis.DoMulti(context.Background(), append(cmds, m.b.redis.B().Exec().Build())...) {
		require.NoError(rt, reply.Error())
	}
	m.b.drainer.moved.Store(true) // it may have looked at the one before
	for _, p := range m.members {
		if !p.cut {
			p.proxy.Pass()
		}
	}
	for _, key := range m.keys {
		writer := slices.MaxFunc(m.members, func(a, b *member) int { return a.floors[key] - b.floors[key] })
		m.cool(rt, writer, key)
		m.read(rt, writer, key)
	}
}
