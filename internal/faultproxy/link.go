package faultproxy

import (
	"io"
	"net"
	"time"
)

const (
	chunkSize      = 32 << 10
	longestPattern = 256
)

// link is one client's connection and its counterpart to the server.
type link struct {
	client, server net.Conn
	over           bool // guarded by Proxy.mu
}

func (l *link) close() {
	l.over = true
	_ = l.client.Close()
	_ = l.server.Close()
}

// pump moves one direction's bytes until either side ends.
func (p *Proxy) pump(l *link, d Direction, src io.Reader, dst io.Writer) {
	defer p.end(l)
	buf := make([]byte, chunkSize)
	var seen []byte
	for {
		n, err := src.Read(buf)
		p.linger()
		for rest := buf[:n]; len(rest) > 0; {
			pass, f, ok := p.admit(l, d, seen, rest)
			if !ok {
				return
			}
			p.tally(d, seen, rest[:pass])
			if _, err := dst.Write(rest[:pass]); err != nil {
				return
			}
			p.strike(l, f)
			seen = append(seen, rest[:pass]...)
			seen = seen[max(0, len(seen)-longestPattern):]
			rest = rest[pass:]
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) linger() {
	p.mu.Lock()
	delay := p.delay
	p.mu.Unlock()
	time.Sleep(delay)
}

// admit waits out a stall and gives how many bytes may pass now, and the fault
// that strikes behind them. It is false where the link is over.
func (p *Proxy) admit(l *link, d Direction, seen, chunk []byte) (int, *fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.mode == stalling && !l.over {
		p.changed.Wait()
	}
	f := p.fault
	if l.over || f == nil || f.direction != d {
		return len(chunk), nil, !l.over
	}
	pass, now := f.find(seen, chunk)
	if !now {
		return pass, nil, true
	}
	p.fault = nil
	return pass, f, true
}

func (p *Proxy) strike(l *link, f *fault) {
	if f == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer close(f.done)
	switch {
	case f.action == CutBefore || f.action == CutAfter:
		l.close()
		delete(p.links, l)
	case p.mode == passing:
		p.mode = stalling
	}
}

func (p *Proxy) end(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.close()
	delete(p.links, l)
	p.changed.Broadcast()
}
