package torture

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// maxQueued bounds what waits to be tried again; beyond, new offers replace old.
	maxQueued = 4_096
	// retryEvery is the pace of retries.
	retryEvery = 4 * time.Millisecond
)

// retries are records that gateways other than their own will record again.
type retries struct {
	mu     sync.Mutex
	random *rand.Rand
	queue  []retry
}

type retry struct {
	mark

	slot int // where it comes from
}

// offer takes a record that has a requestId, with a probability.
func (q *retries) offer(m mark, slot int, probability float64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case m.requestID() == "" || q.random.Float64() >= probability:
	case len(q.queue) < maxQueued:
		q.queue = append(q.queue, retry{m, slot})
	default:
		q.queue[q.random.IntN(maxQueued)] = retry{m, slot}
	}
}

// take gives any of them, and the slot to try it in.
func (q *retries) take(slots int) (r retry, to int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) == 0 || slots < 2 {
		return r, 0, false
	}
	i, last := q.random.IntN(len(q.queue)), len(q.queue)-1
	r, q.queue[i] = q.queue[i], q.queue[last]
	q.queue = q.queue[:last]
	return r, (r.slot + 1 + q.random.IntN(slots-1)) % slots, true
}

// retryLoop hands them out until ctx ends.
func (r *run) retryLoop(ctx context.Context) {
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if again, to, ok := r.again.take(len(r.slots)); ok {
			r.slots[to].present().retry(again.mark, r.book.begin)
		}
	}
}
