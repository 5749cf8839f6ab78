package usage

import (
	"slices"

	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// hundredths are 100 % in steps of two decimals.
const hundredths = 10_000

// setPercentages gives every share its part of the whole by the method of the
// largest remainder. Costs are not negative.
func setPercentages(shares []CostShare) {
	var total result.Money
	for _, s := range shares {
		total = total.Add(s.Cost)
	}
	if total.IsZero() {
		return
	}
	steps := make([]decimal.Decimal, len(shares))
	rests := make([]decimal.Decimal, len(shares))
	order := make([]int, len(shares))
	missing := decimal.NewFromInt(hundredths)
	for i, s := range shares {
		steps[i], rests[i] = s.Cost.Decimal().Mul(decimal.NewFromInt(hundredths)).QuoRem(total.Decimal(), 0)
		order[i] = i
		missing = missing.Sub(steps[i])
	}
	slices.SortStableFunc(order, func(a, b int) int { return rests[b].Cmp(rests[a]) })
	for _, i := range order[:missing.IntPart()] { // fewer than have a rest: the rests' sum is that many totals
		steps[i] = steps[i].Add(decimal.NewFromInt(1))
	}
	for i := range shares {
		shares[i].Percentage = result.NewRatio(steps[i].Shift(-2))
	}
}
