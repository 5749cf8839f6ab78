package usage

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/strategy"
)

// Compare reads every counter of both, by key or account, bucket and model; of a copy in
// Redis, those of everybody as well. What is about to expire in Redis is left out.
func (m mover) Compare(ctx context.Context, move strategy.Move) (differ int64, err error) {
	of, err := parts(ctx, move.Redis)
	if err != nil {
		return 0, err
	}
	keep := m.keeping(move)
	everybody := newHolding(ScopeKey, uuid.Nil)
	for _, scope := range scopes {
		for part := range of {
			n, err := m.comparePart(ctx, move, keep, scope, part, of, everybody)
			if differ += n; err != nil {
				return differ, err
			}
		}
	}
	if move.To == strategy.PrimaryPostgres {
		return differ, nil // Redis has figures of keys in them that it has deleted
	}
	n, err := compareEverybody(ctx, move.Redis, keep, everybody)
	return differ + n, err
}

// compareEverybody compares the counters of all keys as one with the sum of the keys.
func compareEverybody(ctx context.Context, redis *strategy.Redis, keep keeping, want *holding) (differ int64, err error) {
	got, err := everybodyIn(ctx, redis)
	if err != nil {
		return 0, err
	}
	for c := range got.cells {
		want.at(c.res, c.name, c.model)
	}
	for c, p := range want.cells {
		if c.model == "" && c.res == legacy.Hour || c.model != "" && c.res == legacy.Total || !keep.comparable(c.bucket, kept[c.res]) {
			continue // the layout has none, or soon has none
		}
		r := got.cells[c]
		if r == nil {
			r = &tally{}
		}
		if p.Total != r.Total || !samePart(p, r) {
			differ++
		}
	}
	return differ, nil
}

func (m mover) comparePart(ctx context.Context, move strategy.Move, keep keeping, scope Scope, part, of int, everybody *holding) (differ int64, err error) {
	inRedis, err := m.counters(ctx, move.Redis, scope, part, of)
	if err != nil {
		return 0, err
	}
	err = m.owners(ctx, move.Postgres, scope, func(ids []uuid.UUID) error {
		ids = slices.DeleteFunc(ids, func(id uuid.UUID) bool {
			return id == uuid.Nil || !isPart(id, part, of) || move.To == strategy.PrimaryPostgres && inRedis[id] == nil
		})
		if len(ids) == 0 {
			return nil
		}
		page, err := m.holdings(ctx, move.Postgres, keep, keep.since(), scope, ids)
		for _, h := range page {
			copied := inRedis[h.id]
			if copied == nil {
				copied = newHolding(scope, h.id)
			}
			delete(inRedis, h.id)
			differ += int64(keep.differences(h, copied, move.To))
			if scope == ScopeKey {
				for c, t := range h.cells {
					everybody.at(c.res, c.name, c.model).add(t)
				}
			}
		}
		return err
	})
	if err != nil || move.To == strategy.PrimaryRedis {
		return differ, err // what is left in Redis is of keys that were deleted there
	}
	for h := range maps.Values(inRedis) {
		differ += int64(keep.differences(newHolding(scope, h.id), h, move.To))
	}
	return differ, nil
}

// differences counts the cells in which PostgreSQL and Redis differ.
func (k keeping) differences(inPostgres, inRedis *holding, to strategy.Primary) (n int) {
	equal := k.equal
	if to == strategy.PrimaryPostgres {
		equal = k.covers
		if contradicts(inRedis) {
			equal = k.reaches
		}
	}
	for c, r := range inRedis.cells {
		p := inPostgres.cells[c]
		if p == nil {
			p = &tally{}
		}
		if k.comparable(c.bucket, kept[c.res]) && !equal(c, p, r, inRedis.scope) {
			n++
		}
	}
	for c, p := range inPostgres.cells {
		if to == strategy.PrimaryRedis && inRedis.cells[c] == nil && k.comparable(c.bucket, kept[c.res]) && !k.equal(c, p, &tally{}, inRedis.scope) {
			n++
		}
	}
	return n
}

// comparable tells whether a bucket lives for longer than a comparison takes.
func (k keeping) comparable(b bucket, kept time.Duration) bool {
	return b.res == legacy.Total || k.left(b, kept) > time.Hour
}

// equal is of a copy in Redis.
func (k keeping) equal(c spot, p, r *tally, scope Scope) bool {
	if c.res == legacy.Total && c.model != "" {
		if scope == ScopeAccount {
			return true // the layout has none of these
		}
		return samePart(p, r)
	}
	if p.Total != r.Total || !samePart(p, r) {
		return false
	}
	return scope == ScopeAccount || c.model != "" || !k.comparable(c.bucket, costsKept[c.res]) || sameAmount(p.cost, r.cost)
}

// samePart leaves out all tokens, which the models of all time have not.
func samePart(p, r *tally) bool {
	return p.Requests == r.Requests && p.Input == r.Input && p.Output == r.Output && p.CacheCreation == r.CacheCreation && p.CacheRead == r.CacheRead
}

// covers is of what was added to PostgreSQL: all time must be the same, and no bucket
// less. A bucket may be more, where Redis has begun it anew after it had expired.
func (k keeping) covers(c spot, p, r *tally, scope Scope) bool {
	if c.res == legacy.Total && c.model == "" {
		return p.Total == r.Total && samePart(p, r) && (scope == ScopeAccount || !r.charged || sameAmount(p.cost, r.cost))
	}
	return k.reaches(c, p, r, scope)
}

func (k keeping) reaches(c spot, p, r *tally, scope Scope) bool {
	if c.res == legacy.Total && c.model != "" {
		return true // they are in what is of all models
	}
	_, over := p.Minus(&r.Counter)
	paid := scope == ScopeAccount || !r.charged || p.cost.Cmp(r.cost) >= 0 || sameAmount(p.cost, r.cost)
	return !over && paid
}

// contradicts tells that a Redis has counted less of all time than in its months: the
// service writes them one by one.
func contradicts(inRedis *holding) bool {
	var months tally
	for c, t := range inRedis.cells {
		if c.res == legacy.Month && c.model == "" {
			months.add(t)
		}
	}
	total := inRedis.cells[spot{bucket{legacy.Total, ""}, ""}]
	if total == nil {
		return true
	}
	_, over := total.Minus(&months.Counter)
	return over || months.cost.Cmp(total.cost) > 0 && !sameAmount(months.cost, total.cost)
}

// sameAmount allows for what Redis' floats leave in a sum of dollars.
func sameAmount(a, b decimal.Decimal) bool {
	allowed := decimal.Max(a.Abs(), b.Abs()).Shift(-12)
	return a.Sub(b).Abs().Cmp(decimal.Max(allowed, decimal.New(1, -9))) <= 0
}
