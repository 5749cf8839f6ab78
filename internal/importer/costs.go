package importer

import (
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/internal/legacy"
)

// noise is what binary floating point leaves in a sum of dollars: a billionth, and of
// large sums the twelfth digit.
var noise = decimal.New(1, -9)

const noisyDigits = 12

// sameCost tells whether two amounts are the same to the source's precision.
func sameCost(a, b decimal.Decimal) bool {
	allowed := decimal.Max(a.Abs(), b.Abs()).Shift(-noisyDigits)
	return a.Sub(b).Abs().Cmp(decimal.Max(allowed, noise)) <= 0
}

// charge divides what a bucket cost beyond its finer ones among the pieces made of it.
// Noise goes to the dearest of the finer ones, so that sums stay exact; a cost without
// usage becomes a piece of its own.
func (b *builder) charge(here *bucket, made, inner []*piece, bare *piece) []*piece {
	whole, known := here.charge()
	if !known {
		return made
	}
	finer := decimal.Zero
	for _, p := range inner {
		finer = finer.Add(p.cost)
	}
	rest := whole.Sub(finer)
	switch {
	case rest.IsZero():
	case sameCost(whole, finer) && len(made) == 0 && settle(inner, rest):
	case rest.IsNegative():
		b.note(bare.tier, bare.bucket, finerCostMore)
	case len(made) == 0:
		bare.cost = rest
		made = append(made, bare)
	default:
		divide(rest, made, here)
	}
	return made
}

// settle adds noise to the dearest piece.
func settle(pieces []*piece, rest decimal.Decimal) bool {
	var dearest *piece
	for _, p := range pieces {
		if dearest == nil || p.cost.Cmp(dearest.cost) > 0 {
			dearest = p
		}
	}
	if dearest == nil || dearest.cost.Add(rest).IsNegative() {
		return false
	}
	dearest.cost = dearest.cost.Add(rest)
	return true
}

// divide gives each piece its part of the amount, by what is known best: the events of
// the bucket, the millionths of a dollar that the service counts, or the tokens. What
// cannot be divided is the heaviest one's.
func divide(amount decimal.Decimal, pieces []*piece, here *bucket) {
	weights, sum := weigh(pieces, here)
	heaviest, left := 0, amount
	for i, w := range weights {
		if w.Cmp(weights[heaviest]) > 0 {
			heaviest = i
		}
		part := w
		if !sameCost(amount, sum) { // else the weights are the amounts
			part = amount.Mul(w).DivRound(sum, legacy.Decimals+4).RoundFloor(legacy.Decimals)
		}
		pieces[i].cost = part
		left = left.Sub(part)
	}
	pieces[heaviest].cost = pieces[heaviest].cost.Add(left)
}

func weigh(pieces []*piece, here *bucket) (weights []decimal.Decimal, sum decimal.Decimal) {
	complete := here.complete()
	for _, by := range []func(*piece) decimal.Decimal{
		func(p *piece) decimal.Decimal {
			if s := here.seen[p.model]; complete && s != nil {
				return s.cost
			}
			return decimal.Zero
		},
		func(p *piece) decimal.Decimal { return decimal.New(max(0, p.counter.RatedMicro), -6) },
		func(p *piece) decimal.Decimal { return decimal.New(p.counter.Total, 0) },
		func(*piece) decimal.Decimal { return decimal.New(1, 0) },
	} {
		weights, sum = nil, decimal.Zero
		for _, p := range pieces {
			w := by(p)
			weights, sum = append(weights, w), sum.Add(w)
		}
		if sum.IsPositive() {
			break
		}
	}
	return weights, sum
}
