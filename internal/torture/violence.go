package torture

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// violence torments until a bound is reached. It gives an error where the torture
// failed or ctx ended.
func (r *run) violence(ctx context.Context) error {
	tormenting, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	for i, t := range r.tormentors() {
		random := rand.New(rand.NewPCG(r.opts.Seed, uint64(i)+1)) //nolint:gosec // to repeat it
		all.Go(func() { r.torment(tormenting, t, random) })
	}
	all.Go(func() { r.retryLoop(tormenting) })
	all.Go(func() { r.auditLoop(tormenting) })
	r.await(ctx)
	stop()
	all.Wait()
	return context.Cause(ctx)
}

// await returns when there was enough violence.
func (r *run) await(ctx context.Context) {
	begun := time.Now()
	for pause(ctx, 50*time.Millisecond) {
		after := time.Since(begun)
		r.mu.Lock()
		kills := r.rep.Kills
		r.rep.Seconds = after.Seconds()
		r.mu.Unlock()
		if r.opts.Progress != nil {
			r.opts.Progress(kills, after)
		}
		switch {
		case r.opts.Duration > 0 && after >= r.opts.Duration, r.opts.Kills > 0 && kills >= r.opts.Kills:
			return
		case r.opts.Quick && (r.sawAll() || after > quickTimeout):
			return
		}
	}
}

func (r *run) note(f fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rep.Faults[f.name]++
	if f.kills {
		r.rep.Kills++
	}
}

func (r *run) started() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rep.Gateways++
}

// sawAll tells that every fault has happened and every path was taken.
func (r *run) sawAll() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.tormentors() {
		for _, f := range t.faults {
			if r.rep.Faults[f.name] == 0 {
				return false
			}
		}
	}
	_, answered := r.book.count()
	d := r.sightings()
	return (answered > 0 || r.book.behind) && d.FastPath > 0 && d.OnConflict > 0 && d.Own > 0 && r.rep.Audits > 0
}

// sightings sums what all proxies have seen.
func (r *run) sightings() (d Duplicates) {
	for _, s := range r.slots {
		d.FastPath += s.seen.fast.Load()
		d.OnConflict += s.seen.conflict.Load()
		d.Own += s.seen.own.Load()
	}
	return d
}
