package cache_test

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed14a526e0/relaystore/cache"
)

// primary is a database of texts: its rows with their history, an outbox that
// every change is put into, and a clock.
type primary struct {
	reads atomic.Int64

	mu     sync.Mutex
	rows   map[cache.Key][]version
	outbox []cache.Key
	holds  map[cache.Key]*hold
	err    error
	slow   chan struct{} // every read waits for it
}

// version is a row since a moment; gone is a deleted one.
type version struct {
	text string
	gone bool
	at   time.Time
}

// hold is a read that has its answer and does not give it yet.
type hold struct{ reading, finish chan struct{} }

func newPrimary() *primary {
	return &primary{rows: make(map[cache.Key][]version), holds: make(map[cache.Key]*hold)}
}

// commit changes a row, and its trigger fills the outbox.
func (p *primary) commit(key cache.Key, v version) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v.at = time.Now()
	p.rows[key] = append(p.rows[key], v)
	p.outbox = append(p.outbox, key)
}

func (p *primary) set(key cache.Key, text string) { p.commit(key, version{text: text}) }

func (p *primary) remove(key cache.Key) { p.commit(key, version{gone: true}) }

// secretly changes a row so that no cache can hear of it: who still gives the old
// text has it from a cache.
func (p *primary) secretly(key cache.Key, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rows[key] = append(p.rows[key], version{text: text, at: time.Now()})
}

func (p *primary) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// slowDown lets every read wait for a channel; nil is none.
func (p *primary) slowDown(gate chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slow = gate
}

// holdNext lets the next read of a key wait behind its answer.
func (p *primary) holdNext(key cache.Key) *hold {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := &hold{make(chan struct{}), make(chan struct{})}
	p.holds[key] = h
	return h
}

// unhold takes a hold back that no read has taken.
func (p *primary) unhold(key cache.Key, h *hold) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holds[key] != h {
		return false
	}
	delete(p.holds, key)
	return true
}

func (p *primary) load(ctx context.Context, key *cache.Key) (*string, error) {
	text, h, slow, err := p.read(*key)
	if h != nil {
		close(h.reading)
		<-h.finish
	}
	if slow != nil {
		select {
		case <-slow:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return text, err
}

func (p *primary) read(key cache.Key) (text *string, h *hold, slow chan struct{}, err error) {
	p.reads.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	h = p.holds[key]
	delete(p.holds, key)
	if p.err != nil {
		return nil, h, p.slow, p.err
	}
	if rows := p.rows[key]; len(rows) > 0 && !rows[len(rows)-1].gone {
		t := rows[len(rows)-1].text
		text = &t
	}
	return text, h, p.slow, nil
}

// take gives what the outbox holds, and the clock from before it looked.
func (p *primary) take() (keys []cache.Key, clock int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]cache.Key{}, p.outbox...), time.Now().UnixMicro()
}

// told takes the n oldest changes out of the outbox.
func (p *primary) told(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outbox = p.outbox[n:]
}

func (p *primary) clock(context.Context) int64 { return time.Now().UnixMicro() }
