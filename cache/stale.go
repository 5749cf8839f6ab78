package cache

import (
	"context"
	"errors"
	"time"
)

// staleWait is how long a call waits for the primary that may answer with an old
// record instead. A silent primary would else hold up each for its whole deadline.
const staleWait = 250 * time.Millisecond

// old gives a record that is young enough for a primary that is down, or nil. What
// was set aside when the connection was lost counts from the last proof before that.
func (r *Records[V]) old(key *Key, now time.Time) *V {
	if r.cache == nil {
		return nil
	}
	longest := r.StaleIfError
	if r.primaryFirst.Load() {
		longest = max(longest, r.cache.opts.MaxStaleness)
	}
	if longest <= 0 {
		return nil
	}
	r.cache.losing.RLock()
	defer r.cache.losing.RUnlock()
	if r.cache.Age(now) <= longest {
		if v := r.table.Get(key); v != nil {
			return v
		}
	}
	if r.cache.fresh.ageBefore(now) <= longest {
		return r.table.Aside(key)
	}
	return nil
}

// missOrOld asks the primary, for staleWait. Only a primary that has answered nobody
// meanwhile is silent; while it answers others, it is up, and this caller has to wait
// for his turn: else a flood of unknown keys would keep revoked ones alive. A primary
// that is down is not asked again for breakerPause. A writer of this process may take
// the old record away meanwhile.
func (r *Records[V]) missOrOld(ctx context.Context, key *Key, now time.Time) (*V, error) {
	if r.sinceBase() < r.down.Load() {
		if old := r.old(key, now); old != nil {
			r.count(key, true)
			return old, nil
		}
	}
	short, cancel := context.WithTimeout(ctx, staleWait)
	defer cancel()
	answered := r.turns.answered.Load()
	v, err := r.miss(short, key, now)
	silent := errors.Is(err, ErrOverload) || errors.Is(err, context.DeadlineExceeded) && short.Err() != nil
	switch {
	case silent && r.turns.answered.Load() != answered:
		return r.miss(ctx, key, now)
	case err == nil || !silent && !r.Down(err):
		return v, err
	}
	r.down.Store(r.sinceBase() + int64(r.cache.opts.breakerPause))
	if old := r.old(key, now); old != nil {
		return old, nil
	}
	if silent { // the old record is too old by now
		return r.miss(ctx, key, now)
	}
	return v, err
}

func (r *Records[V]) sinceBase() int64 { return int64(time.Since(r.cache.fresh.base)) }
