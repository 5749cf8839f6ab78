package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
)

// modelTime bounds the whole test; what rapid would check beyond it is left out.
const modelTime = 8 * time.Second

// Three processes write, read and fill two records while everything between them
// breaks. Whatever happens, a read is not older than the last eviction that had
// returned in its process when it began, nor than MaxStaleness.
func TestCacheEqualsModel(t *testing.T) {
	t.Parallel()
	b, _ := private(t)
	members := b.members()
	end, checks := time.Now().Add(modelTime), 0
	rapid.Check(t, func(rt *rapid.T) {
		if time.Now().After(end) {
			return
		}
		checks++
		m := newModel(b, members)
		defer m.heal(rt)
		rt.Repeat(m.actions())
	})
	t.Log(checks, "checks")
}

// member is a process with its own way to Redis.
type member struct {
	*process

	proxy  *faultproxy.Proxy
	number int
	cut    bool
	floors map[cache.Key]int // the version that its last eviction was about
	gave   map[cache.Key]int // the version that it has answered with
	bound  time.Duration     // MaxStaleness, or StaleIfError where it has one
}

// modelStale is for how long the last of the processes gives what it holds while the
// primary is down.
const modelStale = time.Second

var errDown = errors.New("the primary is down")

// members opens the model's processes.
func (b *bundle) members() (members []*member) {
	b.options.MaxStaleness = 100 * time.Millisecond
	b.source.Down = func(err error) bool { return errors.Is(err, errDown) }
	for n := range 3 {
		p := &member{number: n, bound: b.options.MaxStaleness}
		if n == 2 {
			b.source.StaleIfError, p.bound = modelStale, modelStale
		}
		p.proxy, b.through = faultproxy.Redis(b.t, b.url)
		p.process = b.open(b.through)
		members = append(members, p)
	}
	return members
}

type model struct {
	b       *bundle
	begun   time.Time
	members []*member
	keys    []cache.Key
	fills   []*fill
	wake    func() // nil while the drainer works
	replica map[string]string
	story   []string
	found   *bool // a test leaves a check out, and wants to know whether that shows
}

// tell adds to what a failure shows.
func (m *model) tell(what string, args ...any) {
	m.story = append(m.story, fmt.Sprintf("%8s ", time.Since(m.begun).Round(100*time.Microsecond))+fmt.Sprintf(what, args...))
}

// fill is a read under way; its load waits, unless it shares another's.
type fill struct {
	read
	hold *hold
	done chan struct{}
}

// read is one call, and the least version it may give.
type read struct {
	member *member
	key    cache.Key
	floor  int
	gave   int  // what a process that is not fresh has answered with before
	fresh  bool // when it began, or when it ended
	text   *string
	err    error
}

var modelKeys atomic.Int64

func newModel(b *bundle, members []*member) *model {
	m := &model{b: b, begun: time.Now(), members: members}
	for range 2 {
		m.keys = append(m.keys, cache.KeyOf(int(modelKeys.Add(1))))
	}
	for _, p := range members {
		p.floors, p.gave = make(map[cache.Key]int), make(map[cache.Key]int)
	}
	return m
}

// begin notes what a read that starts now may give at least.
func (m *model) begin(p *member, key cache.Key) read {
	past := time.Now().Add(-p.bound)
	r := read{member: p, key: key, floor: max(p.floors[key], m.b.primary.versionAt(key, past)), fresh: p.Fresh(time.Now())}
	if !r.fresh {
		r.gave = p.gave[key]
	}
	return r
}

// joinable is how long a read waits that may share a load that is held.
const joinable = 20 * time.Millisecond

func (r *read) call(ctx context.Context) {
	r.text, r.err = r.member.records.Get(ctx, &r.key, time.Now())
	r.fresh = r.fresh || r.member.Fresh(time.Now())
}

// check compares an answer with the versions that it may be.
func (m *model) check(rt *rapid.T, r *read) {
	if errors.Is(r.err, context.DeadlineExceeded) || errors.Is(r.err, errDown) || m.over() {
		return
	}
	require.NoError(rt, r.err)
	if !r.fresh { // a fresh one may have come upon an older record in Redis, within the push's window
		r.floor = max(r.floor, r.gave)
	}
	got := m.b.primary.goneSince(r.key, r.floor)
	if r.text != nil {
		got, _ = strconv.Atoi(*r.text)
	}
	m.tell("process %d reads version %d of %x", r.member.number, got, r.key[:2])
	r.member.gave[r.key] = got
	if got < r.floor && m.found != nil {
		*m.found = true
		return
	}
	if got < r.floor { // what rapid repeats may go another way
		m.b.t.Logf("an old version came back:\n%s", strings.Join(m.story, "\n"))
	}
	require.GreaterOrEqual(rt, got, r.floor)
}

// over holds where what is left out has been found.
func (m *model) over() bool { return m.found != nil && *m.found }

// heal mends everything; then every process comes to give what the primary has.
func (m *model) heal(rt *rapid.T) {
	for _, p := range m.members {
		p.pass()
	}
	m.rest(false)
	m.b.primary.fail(nil)
	for len(m.fills) > 0 {
		m.finish(rt, 0)
	}
	if m.found != nil {
		return
	}
	for _, key := range m.keys {
		text, _, _, err := m.b.primary.read(key)
		require.NoError(rt, err)
		want := ""
		if text != nil {
			want = *text
		}
		for _, p := range m.members {
			m.b.cached(p.process, key, want)
		}
	}
}

// versionAt is how many versions a row had at a moment; version 0 is no row.
func (p *primary) versionAt(key cache.Key, at time.Time) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.rows[key] {
		if v.at.After(at) {
			break
		}
		n++
	}
	return n
}

// goneSince gives the first version from n on that is a deleted row, or -1.
func (p *primary) goneSince(key cache.Key, n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, v := range p.rows[key] {
		if n > 0 && i+1 >= n && v.gone {
			return i + 1
		}
	}
	return min(0, -n)
}

// next commits a row's next version, which is its text.
func (p *primary) next(key cache.Key, gone bool) int {
	n := p.versionAt(key, time.Now().Add(time.Hour)) + 1
	p.commit(key, version{text: strconv.Itoa(n), gone: gone})
	return n
}
