package cache

import (
	"context"
	"time"
)

// staleWait is how long a call waits for the primary that may answer with an old
// record instead. A silent primary would else hold up each for its whole deadline.
const staleWait = 250 * time.Millisecond

// mayBeStale tells whether an old record is there, and young enough for a primary
// that is down.
func (r *Records[V]) mayBeStale(key *Key, now time.Time) bool {
	return r.StaleIfError > 0 && r.cache != nil && r.cache.Age(now) <= r.StaleIfError && r.table.Get(key) != nil
}

// missOrStale asks the primary, for staleWait. A primary that is down is not asked
// again for breakerPause.
func (r *Records[V]) missOrStale(ctx context.Context, key *Key, now time.Time) (*V, error) {
	if r.sinceBase() < r.down.Load() {
		if old := r.table.Get(key); old != nil {
			return old, nil
		}
	}
	short, cancel := context.WithTimeout(ctx, staleWait)
	defer cancel()
	v, err := r.miss(short, key, now)
	if err == nil || !r.Down(err) {
		return v, err
	}
	r.down.Store(r.sinceBase() + int64(r.cache.opts.breakerPause))
	if old := r.table.Get(key); old != nil { // a writer of this process may have evicted it meanwhile
		return old, nil
	}
	return v, err
}

func (r *Records[V]) sinceBase() int64 { return int64(time.Since(r.cache.fresh.base)) }
