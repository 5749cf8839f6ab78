package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed14a526e0/relaystore/internal/bench"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
)

// slot is a place where gateways run, one after another, behind a proxy of its own.
type slot struct {
	n     int
	run   *run
	place bench.Place // through the proxy
	proxy *faultproxy.Proxy
	seen  *sightings

	mu    sync.Mutex
	child *child // the present one, or the last
}

func (r *run) newSlot(n int) (*slot, error) {
	proxy, through, err := faultproxy.StartPostgres(r.place.DatabaseURL)
	if err != nil {
		return nil, err
	}
	s := &slot{n: n, run: r, place: r.place, proxy: proxy, seen: watch(proxy)}
	s.place.DatabaseURL = through
	return s, nil
}

// start starts a gateway with new callers.
func (s *slot) start() error {
	first := s.run.book.open(s.run.opts.Callers)
	c, err := startChild(s.place, setup{s.run.traffic, first, s.run.opts.Callers, s.run.opts.UsageWrites}, s.hear)
	if c != nil {
		s.mu.Lock()
		s.child = c
		s.mu.Unlock()
		s.run.started()
		go s.watch(c)
	}
	return err
}

// watch ends the run when a gateway ends that was not told to, or by an error of its
// own.
func (s *slot) watch(c *child) {
	<-c.done
	c.mu.Lock()
	doomed := c.doomed
	c.mu.Unlock()
	if !doomed || c.cmd.ProcessState.ExitCode() > 0 {
		s.run.fail(s.endedBadly(c.err))
	}
}

func (s *slot) endedBadly(err error) error {
	return fmt.Errorf("gateway %d ended by itself: %w", s.n+1, err)
}

func (s *slot) present() *child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.child
}

// hear keeps the books and draws what other gateways try again: a part of what is
// under way, of what is acknowledged and of what failed.
func (s *slot) hear(r report) {
	switch r.Event {
	case begins:
		s.run.book.begin(r.mark)
		s.run.again.offer(r.mark, s.n, 0.02)
	case counted, duplicate:
		s.run.book.answer(r)
		s.run.again.offer(r.mark, s.n, 0.05)
	case failed:
		s.run.book.answer(r)
		s.run.again.offer(r.mark, s.n, 0.7)
	case wrong:
		s.run.book.answer(r)
	}
}

// bury offers what a dead gateway has not answered.
func (s *slot) bury(c *child) {
	for _, m := range c.orphans() {
		s.run.again.offer(m, s.n, 0.7)
	}
}

// killGateway is SIGKILL in the middle of everything, and a new gateway after a
// while.
func (s *slot) killGateway(ctx context.Context, random *rand.Rand) (bool, error) {
	c := s.present()
	c.kill()
	s.bury(c)
	s.run.while(ctx, random, 500*time.Millisecond)
	return true, s.start()
}

// closeGateway ends a gateway in order while its callers call.
func (s *slot) closeGateway(ctx context.Context, random *rand.Rand) (bool, error) {
	c := s.present()
	if err := c.close(); err != nil {
		return false, s.endedBadly(err)
	}
	s.bury(c)
	s.run.while(ctx, random, 500*time.Millisecond)
	return true, s.start()
}
