package cache

import (
	"math"
	"sync"
	"sync/atomic"
)

// maxFences bounds the keys that are fenced one by one; beyond it, all are.
const maxFences = 10_000

// fences are the keys that Redis may hold old records of, because a writer of
// this process could not tell it. Each stands until a heartbeat proves that the
// outbox has told it.
type fences struct {
	count atomic.Int64 // lets reads pass without the lock while there are none
	mu    sync.RWMutex
	until map[Key]int64 // microseconds of the database's clock
	all   int64
}

func (f *fences) up(key *Key) bool {
	if f.count.Load() == 0 {
		return false
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	_, fenced := f.until[*key]
	return fenced || f.all > 0
}

func (f *fences) raise(keys []Key, until int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.until == nil {
		f.until = make(map[Key]int64)
	}
	for _, k := range keys {
		if len(f.until) >= maxFences {
			f.all = max(f.all, until)
			break
		}
		f.until[k] = max(f.until[k], until)
	}
	f.recount()
}

// lower takes down what a heartbeat has passed.
func (f *fences) lower(beat int64) {
	if f.count.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, until := range f.until {
		if beat > until {
			delete(f.until, k)
		}
	}
	if beat > f.all {
		f.all = 0
	}
	f.recount()
}

func (f *fences) recount() { f.count.Store(int64(len(f.until)) + min(f.all, math.MaxInt32)) }
