package cache

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// Key is what a record is known by: 32 bytes that are spread evenly, such as a
// SHA-256.
type Key [32]byte

// slotsPerBucket makes a bucket 64 bytes, one line of a processor's cache.
const slotsPerBucket = 6

// Table keeps decoded, immutable records of one process by key. A look-up takes
// no lock and allocates nothing. It is set-associative: a record lives in one of
// the six slots of its key's bucket, and a full bucket evicts.
//
// Filling it is a race against invalidation, which the bucket's counter decides:
// [Table.Begin] remembers the counter before the record is asked for, every
// [Table.Invalidate] moves it, and [Ticket.Store] stores only if it has not moved.
type Table[V any] struct {
	live      atomic.Pointer[[]bucket[V]]
	aside     atomic.Pointer[[]bucket[V]]
	evictions atomic.Int64
	uncounted bool // a test leaves the counters out
}

type bucket[V any] struct {
	mu    sync.Mutex
	moves uint64
	slots [slotsPerBucket]atomic.Pointer[item[V]]
}

// item holds a record itself, so that a hit touches few lines of a processor's
// cache.
type item[V any] struct {
	key   Key
	used  atomic.Bool // since it was stored or last spared
	value V
}

// NewTable makes a table that holds about size records before it evicts, and at
// most four times as many.
func NewTable[V any](size int) *Table[V] {
	n := 1
	for n*slotsPerBucket < 2*size {
		n *= 2
	}
	t := &Table[V]{}
	fresh := make([]bucket[V], n)
	t.live.Store(&fresh)
	return t
}

// Get gives the record of a key, or nil. The record must not be changed.
func (t *Table[V]) Get(key *Key) *V { return bucketOf(*t.live.Load(), key).get(key) }

// Aside is Get for what was set aside.
func (t *Table[V]) Aside(key *Key) *V {
	if aside := t.aside.Load(); aside != nil {
		return bucketOf(*aside, key).get(key)
	}
	return nil
}

func (b *bucket[V]) get(key *Key) *V {
	for i := range b.slots {
		it := b.slots[i].Load()
		if it != nil && it.key == *key {
			if !it.used.Load() { // a hot record's line stays shared
				it.used.Store(true)
			}
			return &it.value
		}
	}
	return nil
}

// Invalidate takes a key's record out and makes every fill that has begun void.
func (t *Table[V]) Invalidate(key *Key) {
	t.invalidateLive(key)
	if aside := t.aside.Load(); aside != nil {
		bucketOf(*aside, key).invalidate(key)
	}
}

func (t *Table[V]) invalidateLive(key *Key) {
	for live := t.live.Load(); ; {
		bucketOf(*live, key).invalidate(key)
		now := t.live.Load()
		if now == live {
			break
		}
		live = now // a Flush came in between; a fill may have begun behind it
	}
}

func (b *bucket[V]) invalidate(key *Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.moves++
	for i := range b.slots {
		if it := b.slots[i].Load(); it != nil && it.key == *key {
			b.slots[i].Store(nil)
		}
	}
}

// Flush takes every record out and makes every fill that has begun void: those
// end in buckets that nobody looks into any more.
func (t *Table[V]) Flush() {
	fresh := make([]bucket[V], len(*t.live.Load()))
	t.live.Store(&fresh)
}

// SetAside is Flush, but what the table held can be had by [Table.Aside] until it is
// set aside again.
func (t *Table[V]) SetAside() {
	t.aside.Store(t.live.Load()) // first: an Invalidate finds it in one place at least
	t.Flush()
}

// DropAside lets go what was set aside.
func (t *Table[V]) DropAside() { t.aside.Store(nil) }

// BeginAside is Begin for [Table.Outdate].
func (t *Table[V]) BeginAside(key *Key) Ticket[V] {
	aside := t.aside.Load()
	if aside == nil {
		return Ticket[V]{}
	}
	b := bucketOf(*aside, key)
	b.mu.Lock()
	defer b.mu.Unlock()
	return Ticket[V]{t, b, *key, b.moves}
}

// Outdate makes what the primary has answered, but the table may not keep, the end of
// every older record: who is answered so must not get those when the primary is down
// a moment later. value (nil is none) takes the place of a record that was set aside,
// unless another answer, or a change, has come since BeginAside gave the ticket: which
// of them is the newest is unknown then, and none is kept.
func (t *Table[V]) Outdate(key *Key, ticket Ticket[V], value *V) {
	t.invalidateLive(key)
	if aside := t.aside.Load(); aside != nil {
		b := bucketOf(*aside, key)
		b.outdate(key, value, b == ticket.bucket, ticket.moves)
	}
}

func (b *bucket[V]) outdate(key *Key, value *V, same bool, moves uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	newest := same && b.moves == moves
	b.moves++
	for i := range b.slots {
		if it := b.slots[i].Load(); it == nil || it.key != *key {
			continue
		}
		if newest && value != nil {
			b.slots[i].Store(&item[V]{key: *key, value: *value})
		} else {
			b.slots[i].Store(nil)
		}
	}
}

// Evictions counts the records that went for others' sake.
func (t *Table[V]) Evictions() int64 { return t.evictions.Load() }

// Ticket is the right to store what is asked for from now on.
type Ticket[V any] struct {
	table  *Table[V]
	bucket *bucket[V]
	key    Key
	moves  uint64
}

// Begin must come before the record is asked for, wherever that is.
func (t *Table[V]) Begin(key *Key) Ticket[V] {
	b := bucketOf(*t.live.Load(), key)
	b.mu.Lock()
	defer b.mu.Unlock()
	return Ticket[V]{t, b, *key, b.moves}
}

// Holds tells whether no invalidation and no flush has come since Begin.
func (k Ticket[V]) Holds() bool {
	k.bucket.mu.Lock()
	defer k.bucket.mu.Unlock()
	return k.holds()
}

func (k Ticket[V]) holds() bool {
	return (k.bucket.moves == k.moves || k.table.uncounted) && bucketOf(*k.table.live.Load(), &k.key) == k.bucket
}

// Store keeps a copy of the record, which nobody else may have yet, unless an
// invalidation or a flush came since Begin. It tells which.
func (k Ticket[V]) Store(value V) bool {
	k.bucket.mu.Lock()
	defer k.bucket.mu.Unlock()
	if !k.holds() {
		return false
	}
	k.bucket.slots[k.place()].Store(&item[V]{key: k.key, value: value})
	return true
}

// place finds the key's own slot, or a free one, or evicts: of the records that
// were not used since their last chance the first, and each that was used loses
// its mark.
func (k Ticket[V]) place() int {
	free, unused := -1, -1
	for i := range k.bucket.slots {
		it := k.bucket.slots[i].Load()
		switch {
		case it == nil:
			free = i
		case it.key == k.key:
			return i
		case !it.used.Load() && unused < 0:
			unused = i
		}
	}
	if free >= 0 {
		return free
	}
	k.table.evictions.Add(1)
	if unused >= 0 {
		return unused
	}
	for i := range k.bucket.slots {
		k.bucket.slots[i].Load().used.Store(false)
	}
	return int(k.key[31]) % slotsPerBucket
}

func bucketOf[V any](buckets []bucket[V], key *Key) *bucket[V] {
	return &buckets[binary.LittleEndian.Uint64(key[:8])&uint64(len(buckets)-1)] //nolint:gosec // a length is not negative
}
