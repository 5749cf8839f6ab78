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

// Compare reads every counter of both, by key or account, bucket and model. What is about
// to expire in Redis is left out.
func (m mover) Compare(ctx context.Context, move strategy.Move) (differ int64, err error) {
	of, err := parts(ctx, move.Redis)
	if err != nil {
		return 0, err
	}
	keep := m.keeping(move)
	for _, scope := range scopes {
		for part := range of {
			n, err := m.comparePart(ctx, move, keep, scope, part, of)
			if differ += n; err != nil {
				return differ, err
			}
		}
	}
	return differ, nil
}

func (m mover) comparePart(ctx context.Context, move strategy.Move, keep keeping, scope Scope, part, of int) (differ int64, err error) {
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
		page, err := m.holdings(ctx, move.Postgres, keep, scope, ids)
		for _, h := range page {
			copied := inRedis[h.id]
			if copied == nil {
				copied = newHolding(scope, h.id)
			}
			delete(inRedis, h.id)
			differ += int64(keep.differences(h, copied, move.To))
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

// differences counts the cells in which PostgreSQL and Redis differ. On the way to
// PostgreSQL, that may have what Redis has no counter of any more.
func (k keeping) differences(inPostgres, inRedis *holding, to strategy.Primary) (n int) {
	for c, p := range inPostgres.cells {
		r := inRedis.cells[c]
		if r == nil {
			if to == strategy.PrimaryPostgres {
				continue
			}
			r = &tally{}
		}
		if k.comparable(c.bucket, kept[c.res]) && !k.equal(c, p, r, inPostgres.scope, to) {
			n++
		}
	}
	for c, r := range inRedis.cells {
		if inPostgres.cells[c] == nil && k.comparable(c.bucket, kept[c.res]) && !k.equal(c, &tally{}, r, inRedis.scope, to) {
			n++
		}
	}
	return n
}

// comparable tells whether a bucket lives for longer than a comparison takes.
func (k keeping) comparable(b bucket, kept time.Duration) bool {
	if b.res == legacy.Total {
		return true
	}
	return k.left(b, kept) > time.Hour
}

func (k keeping) equal(c spot, p, r *tally, scope Scope, to strategy.Primary) bool {
	if scope == ScopeAccount && c.res == legacy.Total && c.model != "" {
		return true // the layout has none of these
	}
	tokens := p.Total == r.Total || c.res == legacy.Total && c.model != "" // which have no allTokens
	if !tokens || p.Requests != r.Requests || p.Input != r.Input || p.Output != r.Output || p.CacheCreation != r.CacheCreation || p.CacheRead != r.CacheRead {
		return false
	}
	if scope == ScopeAccount || c.model != "" || !k.comparable(c.bucket, costsKept[c.res]) || to == strategy.PrimaryPostgres && !r.charged {
		return true
	}
	return sameAmount(p.cost, r.cost)
}

// sameAmount allows for what Redis' floats leave in a sum of dollars.
func sameAmount(a, b decimal.Decimal) bool {
	allowed := decimal.Max(a.Abs(), b.Abs()).Shift(-12)
	return a.Sub(b).Abs().Cmp(decimal.Max(allowed, decimal.New(1, -9))) <= 0
}
