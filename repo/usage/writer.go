package usage

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// maxWaiting bounds the records in memory of calls that wait for a commit; a
	// call beyond them waits for room, up to its deadline.
	maxWaiting = 16_384
	// maxBatch bounds the records of one transaction.
	maxBatch = 1024
	// lanes is how many transactions a process commits at once. Two keep PostgreSQL
	// and the callers busy at the same time; more make batches smaller.
	lanes = 2
)

// writer lets calls that come while others are being committed share the next
// transaction (group commit). A call that finds nobody waits for nobody.
type writer struct {
	commit  func([]*waiting)
	bound   time.Duration // of a call without a deadline
	room    *semaphore.Weighted
	batches batchMeter

	mu      sync.Mutex
	queue   []*waiting
	running int // lanes at work
	beside  int // calls of aside
	closing bool
	idle    chan struct{} // closed when closing and nothing is at work
}

func newWriter(bound time.Duration, commit func([]*waiting)) *writer {
	return &writer{commit: commit, bound: bound, room: semaphore.NewWeighted(maxWaiting), idle: make(chan struct{})}
}

// waiting is an entry whose caller waits for what becomes of it.
type waiting struct {
	entry

	started atomic.Bool // or given up by its caller: whoever sets it decides
	left    *countdown
	outcome outcome
	unsure  bool // the journal, or an earlier try, may have it, too
}

// countdown is of the entries of a call that are not decided.
type countdown struct {
	n    atomic.Int64
	none chan struct{} // closed when there are none
}

func newCountdown(n int) *countdown {
	c := &countdown{none: make(chan struct{})}
	c.n.Store(int64(n))
	return c
}

func (c *countdown) done() {
	if c.n.Add(-1) == 0 {
		close(c.none)
	}
}

// outcome is what became of an entry.
type outcome struct {
	duplicate bool
	unknown   bool // no such key
	err       error
}

func (w *waiting) finish(o outcome) {
	w.outcome = o
	w.left.done()
}

// await gives entries as they wait to be decided.
func await(entries []entry) (all []*waiting, left *countdown) {
	all, left = make([]*waiting, len(entries)), newCountdown(len(entries))
	waits := make([]waiting, len(entries))
	for i := range entries {
		waits[i].entry, waits[i].left = entries[i], left
		all[i] = &waits[i]
	}
	return all, left
}

// write queues entries and gives their outcomes when all are decided. Those that
// have not been started when ctx ends, or after bound where it has no deadline, are not
// written; those that have been are waited for.
func (w *writer) write(ctx context.Context, entries []entry) []*waiting {
	if len(entries) == 0 {
		return nil
	}
	all, left := await(entries)
	n := int64(len(all))
	_, bounded := ctx.Deadline()
	if !w.room.TryAcquire(n) {
		if !bounded {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, w.bound)
			defer cancel()
			bounded = true
		}
		if err := w.room.Acquire(ctx, n); err != nil {
			giveUp(err, all)
			return all
		}
	}
	defer w.room.Release(n)
	if !w.enqueue(all) {
		for _, p := range all {
			p.finish(outcome{err: errClosed})
		}
		return all
	}
	var late <-chan time.Time
	if !bounded { // a timer costs less than a context that has one
		timer := time.NewTimer(w.bound)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-left.none:
		return all
	case <-ctx.Done():
		giveUp(ctx.Err(), all)
	case <-late:
		giveUp(context.DeadlineExceeded, all)
	}
	<-left.none
	return all
}

var errClosed = result.New(result.ConnectionFailed, "the client is closed")

// giveUp takes back what has not been started, since a context ended so.
func giveUp(why error, all []*waiting) {
	err := error(result.New(result.PoolExhausted, "the deadline passed before the record's turn came"))
	if errors.Is(why, context.Canceled) {
		err = why
	}
	for _, p := range all {
		if p.started.CompareAndSwap(false, true) {
			p.finish(outcome{err: err})
		}
	}
}

// enqueue starts a lane where one is free.
func (w *writer) enqueue(all []*waiting) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing {
		return false
	}
	w.queue = append(w.queue, all...)
	if w.running < lanes {
		w.running++
		go w.lane()
	}
	return true
}

// lane commits batches until nothing is queued.
func (w *writer) lane() {
	for batch := w.take(); len(batch) > 0; batch = w.take() {
		w.batches.add(len(batch))
		w.commit(batch)
	}
}

// take starts up to maxBatch of what is queued. It gives nothing when the lane may end.
// First it lets those run who are about to queue something, as the callers of the last
// batch are: else every eighth batch is of one record.
func (w *writer) take() []*waiting {
	runtime.Gosched()
	w.mu.Lock()
	defer w.mu.Unlock()
	batch := make([]*waiting, 0, min(len(w.queue), maxBatch))
	n := 0
	for ; n < len(w.queue) && len(batch) < maxBatch; n++ {
		if w.queue[n].started.CompareAndSwap(false, true) {
			batch = append(batch, w.queue[n])
		}
	}
	clear(w.queue[:n])
	w.queue = w.queue[n:]
	if len(batch) == 0 {
		w.running--
		w.rest()
	}
	return batch
}

// aside runs f beside the lanes, for one of them; close waits for it, too.
func (w *writer) aside(f func()) {
	w.mu.Lock()
	w.beside++
	w.mu.Unlock()
	go func() {
		f()
		w.leave()
	}()
}

// enter is for what is written past the lanes, which close waits for, too: until leave.
// It is false once the writer takes no more.
func (w *writer) enter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closing {
		w.beside++
	}
	return !w.closing
}

func (w *writer) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.beside--
	w.rest()
}

// rest tells close when nothing is at work. The caller holds mu.
func (w *writer) rest() {
	if w.closing && w.running+w.beside == 0 {
		close(w.idle)
	}
}

// close takes no more, waits until everything is written, and tells how many
// records are not when ctx ends; their callers are told as well.
func (w *writer) close(ctx context.Context) error {
	w.mu.Lock()
	if w.closing {
		w.mu.Unlock()
		return nil
	}
	w.closing = true
	w.rest()
	w.mu.Unlock()
	select {
	case <-w.idle:
		return nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	rest := w.queue
	w.queue = nil
	w.mu.Unlock()
	n := 0
	for _, p := range rest {
		if p.started.CompareAndSwap(false, true) {
			p.finish(outcome{err: errClosed})
			n++
		}
	}
	return result.New(result.QueryTimeout, "the deadline of Close passed with %d usage records not written", n).With("remaining", n)
}
