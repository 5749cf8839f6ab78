package cache

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"
	"golang.org/x/sync/singleflight"
)

// errLeft means that the caller who began a load left before it had its turn.
var errLeft = errors.New("who began this load has left")

// miss shares one load among the callers of a key, and begins it anew for those who
// stay when its first caller leaves before it has its turn.
func (r *Records[V]) miss(ctx context.Context, key *Key, now time.Time) (*V, error) {
	for {
		select {
		case res := <-r.shared(ctx, key, now):
			if !errors.Is(res.Err, errLeft) {
				got, _ := res.Val.(found[V])
				r.count(key, got.cached)
				return got.record, res.Err
			}
		case <-ctx.Done():
		}
		if err := ctx.Err(); err != nil {
			r.count(key, false)
			if errors.Is(err, context.DeadlineExceeded) && r.turns.exhausted() {
				return nil, ErrOverload
			}
			return nil, err
		}
	}
}

// found is what a load gives its callers: the record, and whether the primary was
// spared.
type found[V any] struct {
	record *V
	cached bool
}

// shared begins a load, or joins the one that is under way. Once it has its turn it
// goes on without its first caller, for the others' sake. It is not joined any more
// when what it has read may be old: nobody may have told this process of a change
// since.
func (r *Records[V]) shared(caller context.Context, key *Key, now time.Time) <-chan singleflight.Result {
	name, k := string(key[:]), *key
	return r.flights.DoChan(name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), r.Timeout)
		defer cancel()
		if r.cache != nil {
			defer time.AfterFunc(r.cache.opts.MaxStaleness/2, func() { r.flights.Forget(name) }).Stop()
		}
		return r.fill(ctx, caller, &k, now)
	})
}

// fill asks Redis, then the primary. The tickets come before the look at the
// freshness: a connection that is lost after that look voids them.
func (r *Records[V]) fill(ctx, caller context.Context, key *Key, now time.Time) (found[V], error) {
	ticket, unknown, aside := r.table.Begin(key), r.unknown.Begin(key), r.table.BeginAside(key)
	usable := !r.off.Load() && r.cache.Fresh(now) && r.cache.Fresh(time.Now()) && !r.cache.fences.up(key)
	vacant := false
	if usable && !r.primaryFirst.Load() {
		if v, known := r.kept(key); known {
			return found[V]{v, true}, nil // another call has filled it since this one missed it
		}
		var v *V
		if v, vacant = r.lookup(ctx, key); v != nil && ticket.Store(*v) {
			return found[V]{v, true}, nil // else it may be of a Redis that has lost writes
		}
	}
	end, err := r.turn(caller)
	if err != nil {
		return found[V]{}, err
	}
	defer end()
	v, err := r.Load(ctx, key)
	if err != nil {
		return found[V]{}, err
	}
	r.turns.answered.Add(1)
	kept := false
	switch {
	case !usable:
	case v == nil:
		kept = unknown.Store(struct{}{})
	default:
		kept = ticket.Store(*v)
	}
	switch {
	case !kept && r.cache != nil:
		r.table.Outdate(key, aside, v)
	case kept && vacant && v != nil:
		r.fillLater(ticket, v)
	}
	return found[V]{record: v}, nil
}

// turn waits for the turn at the primary for as long as the caller does, and no
// longer than a load may take.
func (r *Records[V]) turn(caller context.Context) (end func(), err error) {
	ctx, cancel := context.WithTimeout(caller, r.Timeout)
	defer cancel()
	end, ok := r.turns.take(ctx)
	switch {
	case ok:
		return end, nil
	case caller.Err() != nil:
		return nil, errLeft
	}
	return nil, ErrOverload
}

// lookup gives the record that Redis holds, or tells that it holds none and may be
// filled.
func (r *Records[V]) lookup(ctx context.Context, key *Key) (v *V, vacant bool) {
	_ = r.cache.try(ctx, func(ctx context.Context, redis rueidis.Client) error {
		record, free, err := readRecord(ctx, redis, r.cache.name(r.Kind, key), r.cache.read())
		if err != nil || record == nil {
			vacant = free
			return err
		}
		if decoded, err := r.Decode(record); err == nil {
			v = decoded
		}
		return nil // what cannot be decoded is of another version; the primary has it
	})
	return v, vacant
}
