package usage

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

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
	room    *semaphore.Weighted
	batches batchMeter

	mu      sync.Mutex
	queue   []*waiting
	running int // lanes at work
	beside  int // calls of aside
	closing bool
	idle    chan struct{} // closed when closing and nothing is at work
}

func newWriter(commit func([]*waiting)) *writer {
	return &writer{commit: commit, room: semaphore.NewWeighted(maxWaiting), idle: make(chan struct{})}
}

// waiting is an entry whose caller waits for what becomes of it.
type waiting struct {
	entry

	started atomic.Bool // or given up by its caller: whoever sets it decides
	left    *sync.WaitGroup
	outcome outcome
	unsure  bool // the journal, or an earlier try, may have it, too
}

// outcome is what became of an entry.
type outcome struct {
	duplicate bool
	unknown   bool // no such key
	err       error
}

func (w *waiting) finish(o outcome) {
	w.outcome = o
	w.left.Done()
}

// await gives entries as they wait to be decided; left is how many are not.
func await(entries []entry) (all []*waiting, left *sync.WaitGroup) {
	all, left = make([]*waiting, len(entries)), new(sync.WaitGroup)
	left.Add(len(entries))
	for i := range entries {
		all[i] = &waiting{entry: entries[i], left: left}
	}
	return all, left
}

// write queues entries and gives their outcomes when all are decided. Those that
// have not been started when ctx ends are not written; those that have been are
// waited for.
func (w *writer) write(ctx context.Context, entries []entry) []*waiting {
	all, left := await(entries)
	n := int64(len(all))
	if err := w.room.Acquire(ctx, n); err != nil {
		giveUp(ctx, all)
		return all
	}
	defer w.room.Release(n)
	if !w.enqueue(all) {
		for _, p := range all {
			p.finish(outcome{err: errClosed})
		}
		return all
	}
	stop := context.AfterFunc(ctx, func() { giveUp(ctx, all) })
	left.Wait()
	stop()
	return all
}

var errClosed = result.New(result.ConnectionFailed, "the client is closed")

// giveUp takes back what has not been started.
func giveUp(ctx context.Context, all []*waiting) {
	err := error(result.New(result.PoolExhausted, "the deadline passed before the record's turn came"))
	if errors.Is(ctx.Err(), context.Canceled) {
		err = ctx.Err()
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

// take starts up to maxBatch of what is queued. It gives nothing when the lane
// may end.
func (w *writer) take() []*waiting {
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
