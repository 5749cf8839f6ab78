package faultproxy

import (
	"net"
	"sync"
	"time"
)

// Proxy forwards connections on a port of 127.0.0.1 to one server. It is safe
// for concurrent use.
type Proxy struct {
	network, address string
	listener         net.Listener
	running          sync.WaitGroup

	mu       sync.Mutex
	changed  *sync.Cond
	mode     mode
	links    map[*link]struct{}
	accepted int
	fault    *fault
	counters []*counter
	delay    time.Duration
}

type mode int

const (
	passing mode = iota
	cutting
	stalling
	closed
)

// Start listens and forwards to the server at network ("tcp" or "unix") and
// address.
func Start(network, address string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{network: network, address: address, listener: l, links: make(map[*link]struct{})}
	p.changed = sync.NewCond(&p.mu)
	p.running.Go(p.accept)
	return p, nil
}

// Addr is the proxy's own host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends everything and waits until it has.
func (p *Proxy) Close() {
	p.enter(closed)
	_ = p.listener.Close()
	p.running.Wait()
}

// Pass forwards bytes, those that [Proxy.Stall] held first.
func (p *Proxy) Pass() { p.enter(passing) }

// Slow forwards what is read at a time after a delay, until Pass.
func (p *Proxy) Slow(delay time.Duration) {
	p.enter(passing)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

// Cut ends every connection, and each new one at once, until Pass.
func (p *Proxy) Cut() { p.enter(cutting) }

// Stall holds every byte of old and new connections until Pass.
func (p *Proxy) Stall() { p.enter(stalling) }

// CutOnce ends the present connections and goes on with new ones.
func (p *Proxy) CutOnce() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutLinks()
}

// Accepted counts the connections that the proxy has taken so far.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

func (p *Proxy) enter(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == closed {
		return
	}
	p.delay = 0
	if p.mode = m; m == cutting || m == closed {
		p.cutLinks()
	}
	p.changed.Broadcast()
}

func (p *Proxy) cutLinks() {
	for l := range p.links {
		l.close()
		delete(p.links, l)
	}
	p.changed.Broadcast()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.connect(client) })
	}
}

func (p *Proxy) connect(client net.Conn) {
	server, err := net.Dial(p.network, p.address)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{client: client, server: server}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accepted++
	if p.mode == cutting || p.mode == closed {
		l.close()
		return
	}
	p.links[l] = struct{}{}
	p.running.Go(func() { p.pump(l, ToServer, client, server) })
	p.running.Go(func() { p.pump(l, ToClient, server, client) })
}
