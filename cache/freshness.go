package cache

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// fetchEvery is how often a process looks at the heartbeat.
const fetchEvery = 250 * time.Millisecond

// freshness says since when this process has missed no change. Both clocks count:
// the monotonic one stands still while a machine is suspended, the other can be
// set.
type freshness struct {
	base       time.Time
	mono, wall atomic.Int64 // nanoseconds: since base, since 1970
	epoch      atomic.Int64 // of the heartbeats since the last loss; 0 before the first

	mu     sync.Mutex
	losses int64    // of the connection, or of all that Redis held
	before [2]int64 // mono and wall before the last loss of a fresh process
}

// unproven is since when a process is fresh that is not.
const unproven = math.MinInt64 / 2

// age is how old an answer from the cache may be.
func (f *freshness) age(now time.Time) time.Duration {
	return f.since(now, f.mono.Load(), f.wall.Load())
}

func (f *freshness) since(now time.Time, mono, wall int64) time.Duration {
	return time.Duration(max(int64(now.Sub(f.base))-mono, now.UnixNano()-wall))
}

// ageBefore is how old an answer may be from what was kept before the last loss.
func (f *freshness) ageBefore(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.since(now, f.before[0], f.before[1])
}

// clear tells whether the process has been fresh since it was cleared before.
func (f *freshness) clear() (was bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.losses++
	f.epoch.Store(0)
	mono, wall := f.mono.Swap(unproven), f.wall.Swap(unproven)
	if mono != unproven {
		f.before = [2]int64{mono, wall}
	}
	return mono != unproven
}

// set begins a new age, unless the connection was lost since losses was read.
func (f *freshness) set(since time.Time, losses int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.losses != losses {
		return false
	}
	f.mono.Store(int64(since.Sub(f.base)))
	f.wall.Store(since.UnixNano())
	return true
}

// enter notes the epoch of a heartbeat, unless the connection was lost since losses
// was read.
func (f *freshness) enter(epoch, losses int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.losses != losses {
		return false
	}
	f.epoch.Store(epoch)
	return true
}

func (f *freshness) lost() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.losses
}

// Fresh tells whether the process may answer from its cache at a moment.
func (c *Cache) Fresh(now time.Time) bool {
	return c != nil && c.fresh.age(now) <= c.opts.MaxStaleness
}

// Age is how old an answer from the cache may be at a moment.
func (c *Cache) Age(now time.Time) time.Duration { return c.fresh.age(now) }

// Epoch is that of the heartbeats in the Redis that the process is connected to; 0
// where it has not seen one yet.
func (c *Cache) Epoch() int64 { return c.fresh.epoch.Load() }

// watchHeartbeat fetches the heartbeat on the connection that pushes come on, so
// that its answer comes after every push sent before it.
func (c *Cache) watchHeartbeat(ctx context.Context) {
	tick := time.NewTicker(c.opts.fetchEvery)
	defer tick.Stop()
	var last observation
	for ctx.Err() == nil {
		last = c.observe(ctx, last)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// observation is a heartbeat, when it was asked for, and since when its successor
// proves this process fresh.
type observation struct {
	Heartbeat

	sent   time.Time
	proves time.Time
	losses int64
}

// observe fetches once.
func (c *Cache) observe(ctx context.Context, last observation) observation {
	now := observation{sent: time.Now(), losses: c.fresh.lost()}
	h, _, err := c.ReadHeartbeat(ctx)
	if err != nil || h.Beat == 0 {
		return observation{}
	}
	if epoch := c.Epoch(); epoch != 0 && epoch != h.Epoch {
		c.lose()
		return observation{}
	}
	if !c.fresh.enter(h.Epoch, now.losses) {
		return observation{}
	}
	now.Heartbeat = h
	next, since := last.then(now)
	if !since.IsZero() {
		c.prove(since, now.losses, h.Beat)
	}
	return next
}

// prove makes the process fresh since a moment and lets go what was set aside; neither,
// where a loss has come since losses was read.
func (c *Cache) prove(since time.Time, losses, beat int64) {
	c.losing.RLock()
	defer c.losing.RUnlock()
	if c.fresh.set(since, losses) {
		c.fences.lower(beat)
		c.dropAside()
	}
}

// then gives what is to be remembered after the next fetch, and since when that
// proves the process fresh; the zero time is that it does not. Heartbeats are written
// one after the other, each about what was committed after the one before was
// written. So when a second successor shows, it is about all that was committed
// before the last fetch that still gave the first: however long a writer was held
// up, a heartbeat cannot seem younger than it is.
func (last observation) then(now observation) (next observation, since time.Time) {
	switch {
	case last.sent.IsZero() || last.losses != now.losses || now.Beat < last.Beat:
		return now, time.Time{}
	case now.Beat == last.Beat:
		now.proves = last.proves
		return now, time.Time{}
	}
	now.proves = last.sent
	if last.proves.IsZero() {
		return now, time.Time{}
	}
	return now, last.proves.Add(-now.Lag)
}
