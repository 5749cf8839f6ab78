package cache

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

const (
	// fillEvery lets fills of Redis that come together go together: each of two
	// round trips, and where Redis appends always, of its syncs, serves them all.
	fillEvery = 20 * time.Millisecond
	fillBatch = 256
	// maxFills bounds what waits; a record beyond it is not stored in Redis, so that
	// another process reads it from the primary.
	maxFills = 1024
)

// filling is a record on its way to Redis, with the ticket of the miss that
// loaded it.
type filling[V any] struct {
	ticket Ticket[V]
	record *V
}

// fillLater stores a record in Redis in the background: nobody waits for it.
func (r *Records[V]) fillLater(ticket Ticket[V], v *V) {
	select {
	case r.fills <- filling[V]{ticket, v}:
	default:
	}
}

// fillRedis works until ctx ends.
func (r *Records[V]) fillRedis(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case first := <-r.fills:
			if pause(ctx, fillEvery) {
				_ = r.fillBatch(ctx, r.gathered(first)) // what is not filled, another miss will
			}
		}
	}
}

func (r *Records[V]) gathered(first filling[V]) []filling[V] {
	batch := []filling[V]{first}
	for len(batch) < fillBatch {
		select {
		case next := <-r.fills:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

// fillBatch takes the leases, and fills those whose tickets still hold. A write
// that was told before the lease has left its tombstone, which refuses the lease for
// tombstoneTTL; one that is told after it breaks the lease. The ticket catches what
// was pushed meanwhile. It is no proof by itself: Redis sends pushes at the end of
// its turn, so that the reply may come before a push of the same turn.
func (r *Records[V]) fillBatch(ctx context.Context, batch []filling[V]) error {
	names := make([]string, len(batch))
	for i := range batch {
		names[i] = r.cache.name(r.Kind, &batch[i].ticket.key)
	}
	return r.cache.try(ctx, func(ctx context.Context, redis rueidis.Client) error {
		leases, err := takeLeases(ctx, redis, r.cache.Epoch(), names)
		if err != nil {
			return err
		}
		var standing []lease
		var records [][]byte
		for i, l := range leases {
			record, err := r.Encode(batch[i].record)
			if l.taken() && err == nil && (batch[i].ticket.Holds() || r.cache.opts.without.holds) {
				standing, records = append(standing, l), append(records, record)
			}
		}
		if len(standing) == 0 {
			return nil
		}
		return fillLeases(ctx, redis, r.cache.opts.fill, standing, records, r.ttl.Load())
	})
}
