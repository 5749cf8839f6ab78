package bench

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// pace is that of a child's loop.
	pace = time.Millisecond
	// settled is how many answers no in a row mean that there will be no other.
	settled = 25
	// phaseTimeout bounds the wait for an answer to change.
	phaseTimeout = 30 * time.Second
)

var errStuck = errors.New("the answer did not change in time")

// sample is one answer of the loop.
type sample struct {
	begin, end int64
	active     bool
}

// watcher validates one key in a loop.
type watcher struct {
	ask func(ctx context.Context, hash string) (bool, error)

	mu      sync.Mutex
	hash    string
	samples []sample // since the last wait
	err     error
	news    chan struct{}
}

func newWatcher(ask func(context.Context, string) (bool, error)) *watcher {
	return &watcher{ask: ask, news: make(chan struct{}, 1)}
}

func (w *watcher) run(ctx context.Context) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for ctx.Err() == nil {
		w.once(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (w *watcher) once(ctx context.Context) {
	hash := w.watched()
	if hash == "" {
		return
	}
	begin := time.Now()
	active, err := w.ask(ctx, hash)
	end := time.Now()
	w.mu.Lock()
	if w.hash == hash {
		w.samples = append(w.samples, sample{begin.UnixNano(), end.UnixNano(), active})
	}
	w.err = errors.Join(w.err, err)
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (w *watcher) watched() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hash
}

func (w *watcher) turn(hash string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hash, w.samples = hash, nil
}

// await waits until the samples make a reply, and forgets them.
func (w *watcher) await(ctx context.Context, look func([]sample) (reply, bool)) (reply, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, phaseTimeout, errStuck)
	defer cancel()
	for {
		w.mu.Lock()
		r, done := look(w.samples)
		err := w.err
		if done {
			w.samples = nil
		}
		w.mu.Unlock()
		if done || err != nil {
			return r, err
		}
		select {
		case <-w.news:
		case <-ctx.Done():
			return reply{}, context.Cause(ctx)
		}
	}
}

func answered(samples []sample) (reply, bool) { return reply{}, len(samples) > 0 }

// firstYes is when the key came back.
func firstYes(samples []sample) (reply, bool) {
	for _, s := range samples {
		if s.active {
			return reply{At: s.end}, true
		}
	}
	return reply{}, false
}

// lastYes is when the key was gone, which shows only in what follows.
func lastYes(since int64) func([]sample) (reply, bool) {
	return func(samples []sample) (r reply, done bool) {
		noes := 0
		for _, s := range samples {
			switch {
			case s.active && s.end > since:
				noes, r.At = 0, s.end
				if s.begin > since {
					r.Stale++
				}
			case !s.active && s.begin > since:
				noes++
			}
		}
		return r, noes >= settled
	}
}
