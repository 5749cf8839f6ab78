package faultproxy

import (
	"regexp"
	"slices"
	"sync/atomic"
)

// Direction is which way bytes flow.
type Direction int

// Directions.
const (
	ToServer Direction = iota
	ToClient
)

// Action is what a fault does when its moment comes.
type Action int

// Actions. Before means that the pattern's last byte does not arrive, After that
// it does and the byte behind it does not.
const (
	// CutBefore and CutAfter end the connection.
	CutBefore Action = iota
	CutAfter
	// StallBefore and StallAfter do what [Proxy.Stall] does, until Pass.
	StallBefore
	StallAfter
)

// Patterns of PostgreSQL's protocol, where nothing encrypts it.
const (
	// Commit is what pgx sends to commit, in direction ToServer.
	Commit = "commit\x00"
	// CommitDone is the server's CommandComplete, in direction ToClient: the
	// transaction is committed when it appears.
	CommitDone = "COMMIT\x00"
)

type fault struct {
	direction Direction
	pattern   *regexp.Regexp // or, where it is nil:
	bytes     int64          // how many bytes still pass
	action    Action
	done      chan struct{}
}

// On arms a fault for the next time that pattern passes in a direction, on any
// connection. The channel is closed when it has happened. A further On or After
// takes the place of one that has not happened.
func (p *Proxy) On(d Direction, pattern string, do Action) <-chan struct{} {
	return p.OnMatch(d, regexp.MustCompile(regexp.QuoteMeta(pattern)), do)
}

// OnMatch is [Proxy.On] for a pattern that is not one text, whose matches are at
// most 256 bytes long.
func (p *Proxy) OnMatch(d Direction, pattern *regexp.Regexp, do Action) <-chan struct{} {
	return p.arm(&fault{direction: d, pattern: pattern, action: do})
}

// After is [Proxy.On] for the moment when n more bytes have passed in a
// direction, on all connections together; the action's Before and After are one.
func (p *Proxy) After(d Direction, n int64, do Action) <-chan struct{} {
	return p.arm(&fault{direction: d, bytes: n, action: do})
}

func (p *Proxy) arm(f *fault) <-chan struct{} {
	f.done = make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	return f.done
}

// Disarm takes back a fault that has not happened; it is false where none is armed.
func (p *Proxy) Disarm() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	armed := p.fault != nil
	p.fault = nil
	return armed
}

// find gives how many bytes of chunk pass before the fault, and whether its
// moment has come then. seen are bytes that this connection passed before.
func (f *fault) find(seen, chunk []byte) (int, bool) {
	if f.pattern == nil {
		n := min(f.bytes, int64(len(chunk)))
		f.bytes -= n
		return int(n), f.bytes == 0
	}
	found := matches(f.pattern, seen, chunk)
	switch {
	case len(found) == 0:
		return len(chunk), false
	case f.action == CutBefore || f.action == StallBefore:
		return max(0, found[0][0]), true
	}
	return found[0][1], true
}

// matches are the begins and ends, counted from the begin of chunk, of the matches
// that end in it.
func matches(pattern *regexp.Regexp, seen, chunk []byte) [][]int {
	all := pattern.FindAllIndex(slices.Concat(seen, chunk), -1)
	for _, m := range all {
		m[0], m[1] = m[0]-len(seen), m[1]-len(seen)
	}
	return slices.DeleteFunc(all, func(m []int) bool { return m[1] <= 0 })
}

// counter counts the matches of a pattern.
type counter struct {
	direction Direction
	pattern   *regexp.Regexp
	n         atomic.Int64
}

// Count counts from now on how often a pattern passes in a direction, on all
// connections together. Matches are at most 256 bytes long.
func (p *Proxy) Count(d Direction, pattern *regexp.Regexp) *atomic.Int64 {
	c := &counter{direction: d, pattern: pattern}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counters = append(p.counters, c)
	return &c.n
}

// tally counts what passes now.
func (p *Proxy) tally(d Direction, seen, chunk []byte) {
	p.mu.Lock()
	counters := p.counters
	p.mu.Unlock()
	for _, c := range counters {
		if c.direction == d {
			c.n.Add(int64(len(matches(c.pattern, seen, chunk))))
		}
	}
}
