package cache_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed14a526e0/relaystore/cache"
)

const beatEvery = 2 * time.Millisecond

// drainer brings a primary's outbox to Redis and writes the heartbeat, as a
// process of its own.
type drainer struct {
	cache   *cache.Cache
	log     *lines
	primary *primary

	t      *testing.T
	mu     sync.Mutex // a step is going on, or the drainer rests
	last   cache.Heartbeat
	server string
	twice  atomic.Bool
	moved  atomic.Bool // Redis is another server, as its run_id would tell
}

// start begins the steps, which the test's end ends.
func (d *drainer) start(t *testing.T) {
	t.Helper()
	d.t = t
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				d.mu.Lock()
				d.step(ctx)
				d.mu.Unlock()
			}
		}
	})
	t.Cleanup(func() { stop(); running.Wait() })
}

// rest lets the drainer do nothing, as a dead one, until the result is called, or
// until a test that fails meanwhile ends.
func (d *drainer) rest() (wake func()) {
	d.mu.Lock()
	wake = sync.OnceFunc(d.mu.Unlock)
	d.t.Cleanup(wake)
	return wake
}

// again lets it tell every change twice.
func (d *drainer) again(yes bool) { d.twice.Store(yes) }

// step tells what waits, twice where that is asked for, and then says so. A
// Redis with an older heartbeat than the last has lost writes; another one may have.
func (d *drainer) step(ctx context.Context) {
	keys, clock := d.primary.take()
	held, server, err := d.cache.ReadHeartbeat(ctx)
	if err != nil || clock <= d.last.Beat {
		return
	}
	next := cache.Heartbeat{Epoch: d.last.Epoch, Beat: clock}
	if held.Beat < d.last.Beat || held.Epoch != d.last.Epoch || next.Epoch == 0 || server != d.server || d.moved.Swap(false) {
		next.Epoch = clock
	}
	for range map[bool]int{false: 1, true: 2}[d.twice.Load()] {
		if len(keys) > 0 && d.cache.Tell(ctx, kind, keys) != nil {
			return
		}
	}
	if d.cache.ReplaceHeartbeat(ctx, held, next) == nil {
		d.last, d.server = next, server
		d.primary.told(len(keys))
	}
}
