package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// barWidth is how many characters the longest bar of a column has.
const barWidth = 24

// bar draws a part of the largest amount, to an eighth of a character.
func bar(part, largest decimal.Decimal) string {
	if !largest.IsPositive() || !part.IsPositive() {
		return ""
	}
	eighths := int(part.Mul(decimal.NewFromInt(8 * barWidth)).Div(largest).Ceil().IntPart())
	text := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		text += string([]rune(" ▏▎▍▌▋▊▉")[rest])
	}
	return text
}

func highest(costs []result.Money) decimal.Decimal {
	var most decimal.Decimal
	for _, c := range costs {
		most = decimal.Max(most, c.Decimal())
	}
	return most
}

// printStats prints the buckets, then what they are made of.
func printStats(w io.Writer, s usage.Stats, by usage.GroupBy) {
	costs := make([]result.Money, len(s.Stats))
	for i, b := range s.Stats {
		costs[i] = b.Cost
	}
	most := highest(costs)
	t := newTable(w, table.Row{"date", "requests", "tokens", "cost (US$)", ""}, 2, 3, 4)
	for _, b := range s.Stats {
		t.AppendRow(table.Row{dated(b.Date, b.Approximate), b.Requests, b.TotalTokens, b.Cost, bar(b.Cost.Decimal(), most)})
	}
	t.AppendFooter(table.Row{"all", s.Summary.TotalRequests, s.Summary.TotalTokens, s.Summary.TotalCost, ""})
	t.Render()
	printGroups(w, s.Stats, by)
}

// printGroups prints the models, accounts or keys of all buckets, the dearest first.
func printGroups(w io.Writer, buckets []usage.Bucket, by usage.GroupBy) {
	groups := make(map[string]usage.Figures)
	for _, b := range buckets {
		of := map[usage.GroupBy]map[string]usage.Figures{usage.ByAccount: b.Accounts, usage.ByAPIKey: b.APIKeys}[by]
		if of == nil {
			of = b.Models
		}
		for name, f := range of {
			sum := groups[name]
			sum.Requests, sum.TotalTokens, sum.Cost = sum.Requests+f.Requests, sum.TotalTokens+f.TotalTokens, sum.Cost.Add(f.Cost)
			sum.Name = cmp.Or(f.Name, sum.Name)
			groups[name] = sum
		}
	}
	if len(groups) == 0 {
		return
	}
	names := slices.SortedFunc(maps.Keys(groups), func(a, b string) int {
		return cmp.Or(groups[b].Cost.Decimal().Cmp(groups[a].Cost.Decimal()), cmp.Compare(a, b))
	})
	most := groups[names[0]].Cost.Decimal()
	t := newTable(w, table.Row{string(cmp.Or(by, usage.ByModel)), "requests", "tokens", "cost (US$)", ""}, 2, 3, 4)
	for _, n := range names {
		f := groups[n]
		t.AppendRow(table.Row{called(n, f.Name), f.Requests, f.TotalTokens, f.Cost, bar(f.Cost.Decimal(), most)})
	}
	t.Render()
}

// called gives what an operator knows a thing by.
func called(id, name string) string {
	if id == "" {
		return "none"
	}
	return printable(strings.TrimSpace(id + " " + name))
}

// dated marks a bucket that has some of a neighbour's figures, or lacks some.
func dated(date string, approximate bool) string {
	if approximate {
		return date + " ≈"
	}
	return date
}

// printCosts prints the shares, then the days where these are not the shares.
func printCosts(w io.Writer, c usage.CostAnalysis, by usage.GroupBy) {
	costs := make([]result.Money, len(c.CostBreakdown))
	var total result.Money
	for i, s := range c.CostBreakdown {
		costs[i], total = s.Cost, total.Add(s.Cost)
	}
	most := highest(costs)
	t := newTable(w, table.Row{string(by), "cost (US$)", "%", ""}, 2, 3)
	for _, s := range c.CostBreakdown {
		t.AppendRow(table.Row{called(s.Category, s.Name), s.Cost, s.Percentage, bar(s.Cost.Decimal(), most)})
	}
	t.AppendFooter(table.Row{"all", total, "", ""})
	t.Render()
	if by != usage.ByDay {
		printTrend(w, c.Trends)
	}
}

func printTrend(w io.Writer, days []usage.CostTrend) {
	costs := make([]result.Money, len(days))
	for i, d := range days {
		costs[i] = d.Cost
	}
	most := highest(costs)
	t := newTable(w, table.Row{"day", "cost (US$)", "change", ""}, 2, 3)
	for _, d := range days {
		t.AppendRow(table.Row{dated(d.Date, d.Approximate), d.Cost, fmt.Sprintf("%+.1f %%", d.Change.Decimal().Shift(2).InexactFloat64()), bar(d.Cost.Decimal(), most)})
	}
	t.Render()
}
