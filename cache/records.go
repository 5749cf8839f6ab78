package cache

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// DefaultRecords is how many records of a kind a process keeps.
	DefaultRecords = 100_000
	// unknownKeys is how many keys that have no record a process remembers.
	unknownKeys = 10_000
	// loadsPerSecond bounds what misses ask of the primary in a process, with a
	// burst of as many.
	loadsPerSecond = 5_000
	// DefaultLoads is how many of them run at once.
	DefaultLoads = 128
)

// ErrOverload means that a miss found no turn at the primary within its deadline.
var ErrOverload = errors.New("too many misses wait for the primary")

// Source is where the records of a kind come from.
type Source[V any] struct {
	// Kind names the records in Redis and in the outbox.
	Kind string
	// Load reads the primary, never a replica; nil means that there is no record.
	Load func(ctx context.Context, key *Key) (*V, error)
	// Encode and Decode are the record's form in Redis.
	Encode func(*V) ([]byte, error)
	Decode func([]byte) (*V, error)
	// Size is how many records a process keeps; 0 is DefaultRecords.
	Size int
	// Loads is how many loads run at once: as many as can without waiting for a
	// connection; 0 is DefaultLoads.
	Loads int
	// Timeout bounds a load, which several callers may share.
	Timeout time.Duration
	// Over tells of a record that it has ended by itself, so that the primary may have
	// let go of it without a word; nil is never. The meter does not count it.
	Over func(*V) bool
	// Down tells whether an error of Load means that the primary is down, or too slow.
	// Then a record goes on for StaleIfError since the last proof of freshness; 0 is
	// never.
	Down         func(error) bool
	StaleIfError time.Duration
}

// Records are the cached records of one kind. A hit costs a look into the
// process's own table and no lock.
type Records[V any] struct {
	Source[V]

	cache   *Cache
	table   *Table[V]
	unknown *Table[struct{}]
	flights singleflight.Group
	turns   *turns
	down    atomic.Int64 // until when the primary counts as down, in nanoseconds since the cache's base
	fills   chan filling[V]
	meter   meter
	hits    striped
	misses  atomic.Int64
	off     atomic.Bool
	ttl     atomic.Int64 // of what Redis keeps, in ms

	primaryFirst atomic.Bool
}

// NewRecords adds a kind of records to a cache, which keeps one of each kind and may
// be nil: each call then loads, but callers of one key still share.
func NewRecords[V any](c *Cache, source Source[V]) *Records[V] {
	source.Size, source.Loads = cmp.Or(source.Size, DefaultRecords), cmp.Or(source.Loads, DefaultLoads)
	r := &Records[V]{
		Source: source, cache: c, table: NewTable[V](source.Size), unknown: NewTable[struct{}](unknownKeys),
		turns: newTurns(loadsPerSecond, source.Loads), fills: make(chan filling[V], maxFills),
	}
	r.ttl.Store(DefaultTTL.Milliseconds())
	if c != nil {
		r.table.uncounted, r.unknown.uncounted = c.opts.without.counter, c.opts.without.counter
		c.mu.Lock()
		c.kinds[source.Kind] = r
		c.mu.Unlock()
		c.work.Go(func() { r.fillRedis(c.background) })
	}
	return r
}

// Get gives the record of a key, which must not be changed, or nil where the
// primary has none. now is the caller's clock.
func (r *Records[V]) Get(ctx context.Context, key *Key, now time.Time) (*V, error) {
	if !r.primaryFirst.Load() && r.cache.Fresh(now) {
		if v, known := r.kept(key); known {
			r.count(key, true)
			return v, nil
		}
	}
	if r.old(key, now) != nil {
		return r.missOrOld(ctx, key, now)
	}
	return r.miss(ctx, key, now)
}

// kept gives what the process itself knows of a key.
func (r *Records[V]) kept(key *Key) (v *V, known bool) {
	if v := r.table.Get(key); v != nil {
		return v, true
	}
	return nil, r.unknown.Get(key) != nil
}

// Evictions counts the records that went out of the process's table for others'
// sake; they are loaded again when they are asked for.
func (r *Records[V]) Evictions() int64 { return r.table.Evictions() }

// Evict makes every copy of the keys go. A writer calls it after its commit, also
// after one whose outcome is unknown, and before it answers its own caller: from
// then on no call of this process gets an older record. clock gives the
// database's clock in microseconds; it is asked only where Redis cannot be told.
func (r *Records[V]) Evict(ctx context.Context, clock func(context.Context) int64, keys ...Key) {
	if r.cache == nil {
		for i := range keys {
			r.invalidate(&keys[i])
		}
		return
	}
	ctx = context.WithoutCancel(ctx)
	if len(keys) > 0 && r.cache.Tell(ctx, r.Kind, keys) != nil {
		r.cache.fences.raise(keys, clock(ctx))
		r.cache.forget(r.Kind, keys) // what came from Redis before the fence stood
	}
}

// invalidate also makes later callers begin a load of their own: one that is in
// flight may have read the older record, the table's included, which is therefore
// emptied first.
func (r *Records[V]) invalidate(key *Key) {
	r.table.Invalidate(key)
	r.unknown.Invalidate(key)
	r.flights.Forget(string(key[:]))
}

func (r *Records[V]) flush(keep bool) {
	if keep && r.StaleIfError > 0 {
		r.table.SetAside()
	} else {
		r.table.Flush()
	}
	r.unknown.Flush()
}

func (r *Records[V]) dropAside() { r.table.DropAside() }
