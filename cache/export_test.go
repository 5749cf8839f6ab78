package cache

import (
	"context"
	"math"
	"time"

	"github.com/redis/rueidis"
)

// KeyOf gives one of many keys that are spread as hashes are.
var KeyOf = keyOf

// UnknownKeys is how many unknown keys a process remembers.
const UnknownKeys = unknownKeys

// Paced sets how often a process looks at the heartbeat, and when an open breaker
// tries again.
func (o Options) Paced(fetchEvery, breakerPause time.Duration) Options {
	o.fetchEvery, o.breakerPause = fetchEvery, breakerPause
	return o
}

// Without leaves one check out: "counter", "holds", "lease", "epoch" or "tombstone".
func (o Options) Without(check string) Options {
	o.without = without{check == "counter", check == "holds", check == "epoch", check == "tombstone"}
	if check == "lease" {
		o.fill = rueidis.NewLuaScript(`redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 0`)
	}
	return o
}

// Name is a record's key in Redis.
func (c *Cache) Name(kind string, key Key) string { return c.name(kind, &key) }

// PushName is what Redis pushes when a record has changed.
func (c *Cache) PushName(kind string, key Key) string { return c.pushName(kind, &key) }

// HeartbeatName is the heartbeat's key in Redis.
func (c *Cache) HeartbeatName() string { return c.heartbeatName() }

// Push acts as if Redis had pushed a name, or, for "", as if the connection had
// been lost.
func (c *Cache) Push(name string) {
	if name == "" {
		c.onInvalidations(nil)
		return
	}
	c.invalidateName(name)
}

// Intercept lets something happen each time before the process forgets a key.
func (c *Cache) Intercept(kind string, before func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kinds[kind] = &interceptor{invalidator: c.kinds[kind], before: before}
}

type interceptor struct {
	invalidator

	before func()
}

func (i *interceptor) invalidate(key *Key) {
	i.before()
	i.invalidator.invalidate(key)
}

// Since is the moment up to which the process has missed no change.
func (c *Cache) Since() time.Time { return c.fresh.base.Add(time.Duration(c.fresh.mono.Load())) }

// Fenced tells whether the process keeps a key out of its cache.
func (c *Cache) Fenced(key Key) bool { return c.fences.up(&key) }

// Fence keeps a key out of the process's cache for ever.
func (c *Cache) Fence(key Key) { c.fences.raise([]Key{key}, math.MaxInt64) }

// Suspend lets the wall clock alone go on, as on a machine that sleeps.
func (c *Cache) Suspend(d time.Duration) { c.fresh.wall.Add(-int64(d)) }

// SetBack turns the wall clock back.
func (c *Cache) SetBack(d time.Duration) { c.fresh.wall.Add(int64(d)) }

// Lease is the right to fill a key in Redis.
type Lease = lease

// TakeLease tries to take the lease of a key in an epoch.
func (c *Cache) TakeLease(ctx context.Context, r rueidis.Client, kind string, key Key, epoch int64) (Lease, error) {
	leases, err := takeLeases(ctx, r, epoch, []string{c.name(kind, &key)})
	if err != nil {
		return Lease{}, err
	}
	return leases[0], nil
}

// Fill stores a record in place of the lease.
func (l lease) Fill(ctx context.Context, r rueidis.Client, record string) error {
	return fillLeases(ctx, r, fillScript, []lease{l}, [][]byte{[]byte(record)}, DefaultTTL.Milliseconds())
}

// With gives a lease with another token.
func (l lease) With(token string) Lease { return lease{l.name, token, l.epoch} }

// Known and Unknown count what the process keeps.
func (r *Records[V]) Known() int   { return r.table.count() }
func (r *Records[V]) Unknown() int { return r.unknown.count() }

func (t *Table[V]) count() (n int) {
	buckets := *t.live.Load()
	for b := range buckets {
		for s := range buckets[b].slots {
			if buckets[b].slots[s].Load() != nil {
				n++
			}
		}
	}
	return n
}

// Limit bounds loads to n a second, with a burst of as many.
func (r *Records[V]) Limit(n int) {
	r.turns = newTurns(n, r.Loads)
}

// Aside is what was set aside at the last loss.
func (r *Records[V]) Aside(key Key) *V { return r.table.Aside(&key) }

// Waiting counts the loads that wait for their turn, or run.
func (r *Records[V]) Waiting() int { return len(r.turns.running) }

// Filling stores a record in the table and gives what then fills Redis with it, as
// the background does.
func (r *Records[V]) Filling(key Key, v V) (fill func(context.Context) error) {
	ticket := r.table.Begin(&key)
	ticket.Store(v)
	return func(ctx context.Context) error { return r.fillBatch(ctx, []filling[V]{{ticket, &v}}) }
}

// ReadBatch is how many entries a flush gets at most.
const ReadBatch = readBatch

// Bounded sets how many refused entries are kept, and when a silent consumer is
// forgotten.
func (o JournalOptions) Bounded(refused int, goneAfter time.Duration) JournalOptions {
	o.refusedLimit, o.goneAfter = refused, goneAfter
	return o
}

// Consumer is the name of this process's consumer.
func (j *Journal) Consumer() string { return j.name }

// Forget deletes the consumers that are gone.
func (j *Journal) Forget(ctx context.Context) error { return j.forget(ctx, false) }
