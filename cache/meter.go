package cache

import (
	"bytes"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
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

// Measure compares perSecond cached answers a second with the primary, of all kinds
// together and of known as of unknown keys in turn, until the cache closes. Each costs
// one load.
func (c *Cache) Measure(perSecond float64) {
	c.work.Go(func() { c.measure(c.background, perSecond) })
}

func (c *Cache) measure(ctx context.Context, perSecond float64) {
	tick := time.NewTicker(time.Duration(float64(time.Second) / perSecond))
	defer tick.Stop()
	var checks sync.WaitGroup
	defer checks.Wait()
	for turn := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var check func(context.Context)
		if check, turn = c.draw(turn); check != nil {
			checks.Go(func() { check(ctx) })
		}
	}
}

// draw gives a check of the source whose turn it is, or of the next that has an
// answer to check, and whose turn comes then. A source is a kind's known or unknown
// keys.
func (c *Cache) draw(turn int) (check func(context.Context), next int) {
	if !c.Fresh(time.Now()) {
		return nil, turn
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	kinds := slices.Sorted(maps.Keys(c.kinds))
	for i := range 2 * len(kinds) {
		source := (turn + i) % (2 * len(kinds))
		if check = c.kinds[kinds[source/2]].sample(source%2 == 1); check != nil {
			return check, source + 1
		}
	}
	return nil, turn
}

// sample draws a cached answer, and gives what checks it; nil where there is none.
func (r *Records[V]) sample(unknown bool) func(context.Context) {
	if unknown {
		key, mark := r.unknown.sample()
		if mark == nil {
			return nil
		}
		return func(ctx context.Context) { r.check(ctx, key, nil, func() bool { return r.unknown.Get(&key) == mark }) }
	}
	key, v := r.table.sample()
	if v == nil {
		return nil
	}
	return func(ctx context.Context) { r.check(ctx, key, v, func() bool { return r.table.Get(&key) == v }) }
}

// check reads the primary, waits for the push's window to pass, and looks whether
// the answer of before is still served although the primary had another. It has a turn
// at the primary as misses do.
func (r *Records[V]) check(ctx context.Context, key Key, cached *V, served func() bool) {
	bounded, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	end, ok := r.turns.take(bounded)
	if !ok {
		return
	}
	truth, err := r.Load(bounded, &key)
	end()
	if err != nil || !pause(ctx, pushWindow) {
		return
	}
	if !served() || !r.cache.Fresh(time.Now()) || cached != nil && r.Over != nil && r.Over(cached) {
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
