package usage

import (
	"fmt"
	"math/big"
	"time"

	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// model is the ledger as a list: it sums by looking at each record's local time,
// and knows nothing of bounds, cells and rollups.
type model struct {
	records []Record
	names   map[string]string // of the keys and accounts
}

func (m model) stats(q StatsQuery, loc *time.Location) Stats {
	labels := walk(q.StartDate, q.EndDate, loc, q.Granularity)
	out := Stats{Stats: make([]Bucket, len(labels))}
	index := make(map[string]int)
	for i, l := range labels {
		index[l] = i
		out.Stats[i] = Bucket{Date: l, Models: map[string]Figures{}}
		switch q.GroupBy {
		case ByAccount:
			out.Stats[i].Accounts = map[string]Figures{}
		case ByAPIKey:
			out.Stats[i].APIKeys = map[string]Figures{}
		}
	}
	for _, r := range m.records {
		if !matches(r, q) {
			continue
		}
		m.count(&out.Stats[index[labelAt(r.Timestamp, loc, q.Granularity)]], r)
		out.Summary.TotalRequests += r.RequestCount
		out.Summary.TotalTokens += r.TotalTokens
		out.Summary.TotalCost = sum(out.Summary.TotalCost, r.Cost)
	}
	out.Summary.AverageCostPerToken = quotient(out.Summary.TotalCost, out.Summary.TotalTokens)
	return out
}

func matches(r Record, q StatsQuery) bool {
	return !r.Timestamp.Before(q.StartDate) && r.Timestamp.Before(q.EndDate) &&
		(q.APIKeyID == "" || q.APIKeyID == r.APIKeyID) &&
		(q.AccountID == "" || q.AccountID == r.AccountID) &&
		(q.Model == "" || q.Model == r.Model)
}

func (m model) count(b *Bucket, r Record) {
	b.Figures = plus(b.Figures, r)
	b.Models[r.Model] = plus(b.Models[r.Model], r)
	if b.Accounts != nil {
		f := plus(b.Accounts[r.AccountID], r)
		f.Name = m.names[r.AccountID]
		b.Accounts[r.AccountID] = f
	}
	if b.APIKeys != nil {
		f := plus(b.APIKeys[r.APIKeyID], r)
		f.Name = m.names[r.APIKeyID]
		b.APIKeys[r.APIKeyID] = f
	}
}

func plus(f Figures, r Record) Figures {
	return Figures{
		Requests: f.Requests + r.RequestCount, InputTokens: f.InputTokens + r.InputTokens,
		OutputTokens:        f.OutputTokens + r.OutputTokens,
		CacheCreationTokens: f.CacheCreationTokens + r.CacheCreationTokens,
		CacheReadTokens:     f.CacheReadTokens + r.CacheReadTokens,
		TotalTokens:         f.TotalTokens + r.TotalTokens, Cost: sum(f.Cost, r.Cost),
	}
}

func sum(a, b result.Money) result.Money {
	return result.NewMoney(decimal.RequireFromString(a.String()).Add(decimal.RequireFromString(b.String())))
}

// quotient divides in whole numbers and rounds half-even at twelve decimals.
func quotient(cost result.Money, tokens int64) result.Money {
	if tokens == 0 {
		return result.Money{}
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(24), nil)
	scaled, _ := new(big.Int).SetString(cost.Decimal().Mul(decimal.NewFromBigInt(unit, 0)).StringFixed(0), 10)
	divisor := new(big.Int).Mul(big.NewInt(tokens), new(big.Int).Exp(big.NewInt(10), big.NewInt(12), nil))
	whole, rest := new(big.Int).QuoRem(scaled, divisor, new(big.Int))
	switch twice := rest.Lsh(rest, 1).Cmp(divisor); {
	case twice > 0, twice == 0 && whole.Bit(0) == 1:
		whole.Add(whole, big.NewInt(1))
	}
	return result.NewMoney(decimal.NewFromBigInt(whole, -12))
}

// walk lists the labels that the clock shows between start and end, in the order
// of their first showing. It looks at every quarter of an hour, and at every
// minute of a quarter in which the clock was set.
func walk(start, end time.Time, loc *time.Location, g Granularity) (labels []string) {
	seen := make(map[string]bool)
	look := func(t time.Time) {
		if l := labelAt(t, loc, g); t.Before(end) && !seen[l] {
			seen[l] = true
			labels = append(labels, l)
		}
	}
	for t := start; t.Before(end); {
		look(t)
		next := t.Truncate(15 * time.Minute).Add(15 * time.Minute)
		if offsetAt(t, loc) != offsetAt(next, loc) {
			for m := t.Truncate(time.Minute).Add(time.Minute); m.Before(next); m = m.Add(time.Minute) {
				look(m)
			}
		}
		t = next
	}
	return labels
}

func offsetAt(t time.Time, loc *time.Location) int {
	_, offset := t.In(loc).Zone()
	return offset
}

func labelAt(t time.Time, loc *time.Location, g Granularity) string {
	offset := offsetAt(t, loc)
	local := t.UTC().Add(time.Duration(offset) * time.Second)
	day := fmt.Sprintf("%04d-%02d-%02d", local.Year(), int(local.Month()), local.Day())
	switch g {
	case Day:
		return day
	case Month:
		return day[:7]
	}
	zone, sign := "Z", '+'
	if offset < 0 {
		offset, sign = -offset, '-'
	}
	if offset != 0 {
		zone = fmt.Sprintf("%c%02d:%02d", sign, offset/3600, offset/60%60)
	}
	return fmt.Sprintf("%sT%02d:00:00%s", day, local.Hour(), zone)
}
