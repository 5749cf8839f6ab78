package usage

import (
	"cmp"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// costModel answers from lists of records, like model, in whole fractions.
type costModel struct {
	rolled, pending []Record
	// cleaned tells that only sums of the rolled records are left: they count where
	// their quarter of an hour begins, if any of it is in the range.
	cleaned bool
	names   map[string]string // of the accounts
}

// seen gives the records in a query's range, at the times at which they count.
func (m costModel) seen(q CostQuery) (seen []Record) {
	for i, r := range slices.Concat(m.rolled, m.pending) {
		from, to := q.StartDate, q.EndDate
		if m.cleaned && i < len(m.rolled) {
			r.Timestamp = r.Timestamp.Truncate(15 * time.Minute)
			from = from.Truncate(15 * time.Minute)
		}
		if r.Timestamp.Before(from) || !r.Timestamp.Before(to) || q.APIKeyID != "" && q.APIKeyID != r.APIKeyID {
			continue
		}
		if r.Timestamp.Before(q.StartDate) {
			r.Timestamp = q.StartDate
		}
		seen = append(seen, r)
	}
	return seen
}

func (m costModel) costs(q CostQuery, loc *time.Location) CostAnalysis {
	labels := walk(q.StartDate, q.EndDate, loc, Day)
	byDay, byModel, byAccount := map[string]result.Money{}, map[string]result.Money{}, map[string]result.Money{}
	requests := map[string]int64{}
	for _, r := range m.seen(q) {
		day := labelAt(r.Timestamp, loc, Day)
		byDay[day] = sum(byDay[day], r.Cost)
		byModel[r.Model] = sum(byModel[r.Model], r.Cost)
		byAccount[r.AccountID] = sum(byAccount[r.AccountID], r.Cost)
		requests[r.Model] += r.RequestCount
	}
	out := CostAnalysis{Trends: []CostTrend{}, TopModels: []ModelCost{}, CostBreakdown: []CostShare{}}
	vague := m.vague(q, loc)
	for i, label := range labels {
		trend := CostTrend{Date: label, Cost: byDay[label], Approximate: vague[label]}
		if i > 0 {
			trend.Change = growth(byDay[labels[i-1]], byDay[label])
		}
		out.Trends = append(out.Trends, trend)
	}
	for _, name := range falling(byModel) {
		out.TopModels = append(out.TopModels, ModelCost{Model: name, Cost: byModel[name], Requests: requests[name]})
	}
	switch q.GroupBy {
	case ByDay:
		out.CostBreakdown = m.shares(labels, byDay)
	case ByModel:
		out.CostBreakdown = m.shares(falling(byModel), byModel)
	default:
		out.CostBreakdown = m.shares(falling(byAccount), byAccount)
	}
	return out
}

// vague gives the days beside an edge that divides a quarter of an hour.
func (m costModel) vague(q CostQuery, loc *time.Location) map[string]bool {
	vague := map[string]bool{}
	inside := func(t time.Time) bool { return m.cleaned && !t.Equal(t.Truncate(15*time.Minute)) }
	if inside(q.StartDate) {
		vague[labelAt(q.StartDate, loc, Day)] = true
	}
	if inside(q.EndDate) {
		vague[labelAt(q.EndDate.Add(-time.Microsecond), loc, Day)] = true
	}
	for t := q.StartDate.Truncate(15 * time.Minute); t.Before(q.EndDate); t = t.Add(15 * time.Minute) {
		if offsetAt(t, loc) == offsetAt(t.Add(15*time.Minute), loc) {
			continue
		}
		for minute := t; minute.Before(t.Add(15 * time.Minute)); minute = minute.Add(time.Minute) {
			before, after := labelAt(minute.Add(-time.Microsecond), loc, Day), labelAt(minute, loc, Day)
			if minute.After(q.StartDate) && minute.Before(q.EndDate) && before != after && inside(minute) {
				vague[before], vague[after] = true, true
			}
		}
	}
	return vague
}

func falling(costs map[string]result.Money) []string {
	return slices.SortedFunc(maps.Keys(costs), func(a, b string) int {
		return cmp.Or(rat(costs[b]).Cmp(rat(costs[a])), cmp.Compare(a, b))
	})
}

func rat(m result.Money) *big.Rat {
	r, _ := new(big.Rat).SetString(m.String())
	return r
}

// shares hands out 10,000 hundredths: first whole ones, then one after the other to
// whoever is furthest below the exact part.
func (m costModel) shares(order []string, costs map[string]result.Money) []CostShare {
	out := make([]CostShare, len(order))
	exact, given := make([]*big.Rat, len(order)), make([]int64, len(order))
	total, left := new(big.Rat), int64(10_000)
	for _, name := range order {
		total.Add(total, rat(costs[name]))
	}
	for i, name := range order {
		out[i] = CostShare{Category: name, Name: m.names[name], Cost: costs[name]}
		if total.Sign() > 0 {
			exact[i] = new(big.Rat).Quo(new(big.Rat).Mul(rat(costs[name]), big.NewRat(10_000, 1)), total)
			given[i] = new(big.Int).Quo(exact[i].Num(), exact[i].Denom()).Int64()
			left -= given[i]
		}
	}
	for ; total.Sign() > 0 && left > 0; left-- {
		best := 0
		for i := range order {
			if lacks(exact[i], given[i]).Cmp(lacks(exact[best], given[best])) > 0 {
				best = i
			}
		}
		given[best]++
	}
	for i := range out {
		out[i].Percentage = result.NewRatio(decimal.New(given[i], -2))
	}
	return out
}

func lacks(exact *big.Rat, given int64) *big.Rat {
	return new(big.Rat).Sub(exact, new(big.Rat).SetInt64(given))
}

// growth rounds half-even at twelve decimals.
func growth(before, cost result.Money) result.Ratio {
	if before.IsZero() {
		return result.Ratio{}
	}
	r := new(big.Rat).Quo(new(big.Rat).Sub(rat(cost), rat(before)), rat(before))
	r.Mul(r, new(big.Rat).SetInt64(1_000_000_000_000))
	whole, rest := new(big.Int).DivMod(r.Num(), r.Denom(), new(big.Int)) // rest is not negative
	switch twice := rest.Lsh(rest, 1).Cmp(r.Denom()); {
	case twice > 0, twice == 0 && whole.Bit(0) == 1:
		whole.Add(whole, big.NewInt(1))
	}
	return result.NewRatio(decimal.NewFromBigInt(whole, -12))
}
