package usage

import (
	"cmp"
	"slices"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// trends sums cells by day; those of some spans are approximate.
func (p plan) trends(cells []db.UsageStatsByKeyRow, approximate []int) []CostTrend {
	trends := make([]CostTrend, len(p.labels))
	for _, cell := range cells {
		day := &trends[p.label[cell.Slot-1]]
		day.Cost = day.Cost.Add(result.NewMoney(cell.Cost.Decimal))
	}
	for i := range trends {
		trends[i].Date = p.labels[i]
		if i > 0 {
			trends[i].Change = changeFrom(trends[i-1].Cost, trends[i].Cost)
		}
	}
	for _, i := range slices.Concat(p.approximate(p.horizon), approximate) {
		trends[i].Approximate = true
	}
	return trends
}

// changeFrom is the fraction by which a cost differs from the one before.
func changeFrom(before, cost result.Money) result.Ratio {
	if before.IsZero() {
		return result.Ratio{}
	}
	// Sums have at most 38 digits: a quotient of two comes no closer to the half of
	// its 12th decimal than 5·10⁻⁵¹, so 60 decide it.
	change := cost.Decimal().Sub(before.Decimal()).DivRound(before.Decimal(), 60)
	return result.NewRatio(change.RoundBank(result.MoneyDecimals))
}

// costsByModel sums cells by model, the dearest first.
func costsByModel(cells []db.UsageStatsByKeyRow) []ModelCost {
	models := []ModelCost{}
	at := make(map[string]int)
	for _, cell := range cells {
		i, known := at[cell.Model]
		if !known {
			i = len(models)
			at[cell.Model] = i
			models = append(models, ModelCost{Model: cell.Model})
		}
		models[i].Cost = models[i].Cost.Add(result.NewMoney(cell.Cost.Decimal))
		models[i].Requests += cell.Requests
	}
	slices.SortFunc(models, func(a, b ModelCost) int {
		return cmp.Or(b.Cost.Cmp(a.Cost), cmp.Compare(a.Model, b.Model))
	})
	return models
}

func sharesByDay(trends []CostTrend) []CostShare {
	shares := make([]CostShare, len(trends))
	for i, t := range trends {
		shares[i] = CostShare{Category: t.Date, Cost: t.Cost}
	}
	return shares
}

func sharesByModel(models []ModelCost) []CostShare {
	shares := make([]CostShare, len(models))
	for i, m := range models {
		shares[i] = CostShare{Category: m.Model, Cost: m.Cost}
	}
	return shares
}

// sharesByAccount sums cells by account, the dearest first.
func sharesByAccount(cells []db.UsageStatsByKeyRow, names map[uuid.UUID]string) []CostShare {
	shares := []CostShare{}
	at := make(map[uuid.UUID]int)
	for _, cell := range cells {
		i, known := at[cell.GroupID]
		if !known {
			i = len(shares)
			at[cell.GroupID] = i
			shares = append(shares, CostShare{Category: text(cell.GroupID), Name: names[cell.GroupID]})
		}
		shares[i].Cost = shares[i].Cost.Add(result.NewMoney(cell.Cost.Decimal))
	}
	slices.SortFunc(shares, func(a, b CostShare) int {
		return cmp.Or(b.Cost.Cmp(a.Cost), cmp.Compare(a.Category, b.Category))
	})
	return shares
}
