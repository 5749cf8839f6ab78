package faultproxy

import (
	"bytes"
	"slices"
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
	pattern   []byte // or, where it is empty:
	bytes     int64  // how many bytes still pass
	action    Action
	done      chan struct{}
}

// On arms a fault for the next time that pattern passes in a direction, on any
// connection. The channel is closed when it has happened. A further On or After
// takes the place of one that has not happened.
func (p *Proxy) On(d Direction, pattern string, do Action) <-chan struct{} {
	return p.arm(&fault{direction: d, pattern: []byte(pattern), action: do})
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

// find gives how many bytes of chunk pass before the fault, and whether its
// moment has come then. seen are bytes that this connection passed before.
func (f *fault) find(seen, chunk []byte) (int, bool) {
	if len(f.pattern) == 0 {
		n := min(f.bytes, int64(len(chunk)))
		f.bytes -= n
		return int(n), f.bytes == 0
	}
	seen = seen[max(0, len(seen)-len(f.pattern)+1):]
	at := bytes.Index(slices.Concat(seen, chunk), f.pattern)
	switch {
	case at < 0:
		return len(chunk), false
	case f.action == CutBefore || f.action == StallBefore:
		return max(0, at-len(seen)), true
	}
	return at - len(seen) + len(f.pattern), true
}
