package cache

import (
	"bytes"
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// pushWindow is how long after a change the meter still forgives an old answer:
// P3's bound for changes by hand is 50 ms, and a second leaves no doubt.
const pushWindow = time.Second

// Consistency counts how often cached answers were compared with the primary,
// and how often one was served that the primary had replaced more than a second
// before.
type Consistency struct {
	Checked   int64 `json:"checked"`
	Violating int64 `json:"violating"`
}

// sampleWalk bounds the buckets that are looked into for one sample. It is all of
// them at the default size (a fraction of a millisecond), so that the one record of
// an idle process is found, too.
const sampleWalk = 1 << 16

// meter compares some of a kind's cached records with the primary.
type meter struct{ checked, violating atomic.Int64 }

// Consistency gives what the meter has counted.
func (r *Records[V]) Consistency() Consistency {
	return Consistency{r.meter.checked.Load(), r.meter.violating.Load()}
}

// Measure checks perSecond cached records a second, drawn evenly, until ctx ends.
// Each costs one load.
func (r *Records[V]) Measure(ctx context.Context, perSecond float64) {
	tick := time.NewTicker(time.Duration(float64(time.Second) / perSecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if key, v := r.table.sample(); v != nil && r.cache.Fresh(time.Now()) {
				r.check(ctx, key, v)
			}
		}
	}
}

// check reads the primary, waits for the push's window to pass, and looks whether
// the record of before is still served although the primary had another.
func (r *Records[V]) check(ctx context.Context, key Key, cached *V) {
	truth, err := r.Load(ctx, &key)
	if err != nil {
		return
	}
	if !pause(ctx, pushWindow) {
		return
	}
	if r.table.Get(&key) != cached || !r.cache.Fresh(time.Now()) {
		return // replaced or evicted meanwhile, or not served at all
	}
	r.meter.checked.Add(1)
	if !r.same(cached, truth) {
		r.meter.violating.Add(1)
	}
}

func (r *Records[V]) same(a, b *V) bool {
	if a == nil || b == nil {
		return a == b
	}
	left, errLeft := r.Encode(a)
	right, errRight := r.Encode(b)
	return errLeft == nil && errRight == nil && bytes.Equal(left, right)
}

// sample draws a record: the first one behind a bucket drawn at random.
func (t *Table[V]) sample() (Key, *V) {
	buckets := *t.live.Load()
	start := rand.IntN(len(buckets)) //nolint:gosec // a sample need not be secret
	for i := range min(len(buckets), sampleWalk) {
		b := &buckets[(start+i)%len(buckets)]
		for s := range b.slots {
			if it := b.slots[s].Load(); it != nil {
				return it.key, &it.value
			}
		}
	}
	return Key{}, nil
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
