package usage

import (
	"maps"
	"slices"
	"time"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// span draws one of a key or an account.
func (g generator) span() ImportedSpan {
	s := ImportedSpan{
		Scope:      rapid.SampledFrom([]Scope{ScopeKey, ScopeAccount}).Draw(g.T, "scope"),
		Model:      rapid.SampledFrom(models).Draw(g.T, "model"),
		Resolution: rapid.SampledFrom([]Resolution{SpanHour, SpanDay, SpanMonth, SpanOpening}).Draw(g.T, "resolution"),
	}
	s.ID = rapid.SampledFrom(accounts[1:]).Draw(g.T, "account")
	if s.Scope == ScopeKey {
		s.ID = rapid.SampledFrom(g.keys).Draw(g.T, "key")
	}
	g.setFigures(&s)
	switch s.Start = g.time(4 * 24 * time.Hour).Truncate(time.Hour); s.Resolution {
	case SpanHour:
		s.End = s.Start.Add(time.Hour)
	case SpanDay:
		s.End = s.Start.Add(24 * time.Hour)
	case SpanMonth:
		offset := time.Duration(rapid.IntRange(-12, 14).Draw(g.T, "offset")) * time.Hour
		local := s.Start.Add(offset)
		first := time.Date(local.Year(), local.Month()+time.Month(rapid.IntRange(-1, 1).Draw(g.T, "month")), 1, 0, 0, 0, 0, time.UTC)
		s.Start, s.End = first.Add(-offset), first.AddDate(0, 1, 0).Add(-offset)
	default:
		s.Start, s.End = g.time(60*24*time.Hour), g.time(4*24*time.Hour)
		if s.End.Before(s.Start) {
			s.Start, s.End = s.End, s.Start
		}
		s.End = s.End.Add(time.Microsecond)
	}
	return s
}

func (g generator) setFigures(s *ImportedSpan) {
	count := rapid.Int64Range(0, rapid.SampledFrom([]int64{0, 3, MaxImportedCount}).Draw(g.T, "size"))
	s.Requests, s.InputTokens, s.OutputTokens = count.Draw(g.T, "requests"), count.Draw(g.T, "input"), count.Draw(g.T, "output")
	s.CacheCreationTokens, s.CacheReadTokens = count.Draw(g.T, "creation"), count.Draw(g.T, "read")
	s.TotalTokens = s.InputTokens + s.OutputTokens + count.Draw(g.T, "extra")
	s.Cost = result.NewMoney(decimal.New(rapid.Int64Range(0, 1e15).Draw(g.T, "cost"), -12))
}

// importedModel is what is imported, as a list of spans: it looks at each one by itself.
type importedModel struct {
	spans map[spanID]ImportedSpan
	names map[string]string
}

func (m importedModel) set(s ImportedSpan) {
	c, _ := s.check(time.Now())
	id := spanID{s.Scope, c.id, s.Model, s.Resolution, s.Start.UnixMicro()}
	if m.spans[id] = s; s.empty() {
		delete(m.spans, id)
	}
}

// addTo adds what the spans have to an answer from the records.
func (m importedModel) addTo(out *Stats, q StatsQuery, loc *time.Location) {
	labels := make([]string, len(out.Stats))
	for i, b := range out.Stats {
		labels[i] = b.Date
	}
	stays := stays(q.StartDate, q.EndDate, loc, q.Granularity)
	for s := range maps.Values(m.spans) {
		whole, parts := m.counts(s, q)
		if !whole && !parts {
			continue
		}
		touched := map[string]bool{}
		for _, stay := range stays {
			if s.Start.Before(stay.to) && s.End.After(stay.from) {
				touched[stay.label] = true
			}
		}
		if len(touched) > 1 || s.Start.Before(q.StartDate) || s.End.After(q.EndDate) {
			for l := range touched {
				out.Stats[slices.Index(labels, l)].Approximate = true
			}
		}
		if s.Start.Before(q.StartDate) || !s.Start.Before(q.EndDate) || s.Resolution == SpanOpening && s.End.After(q.EndDate) {
			continue
		}
		b := &out.Stats[slices.Index(labels, labelAt(s.Start, loc, q.Granularity))]
		m.count(b, out, s, q, whole, parts)
	}
	out.Summary.AverageCostPerToken = quotient(out.Summary.TotalCost, out.Summary.TotalTokens)
}

// counts tells whether a span is part of the whole, and of what that is made of.
func (m importedModel) counts(s ImportedSpan, q StatsQuery) (whole, parts bool) {
	switch {
	case q.Model != "" && q.Model != s.Model:
		return false, false
	case q.APIKeyID != "" && q.AccountID != "":
		return false, false
	case q.APIKeyID != "":
		whole = s.Scope == ScopeKey && s.ID == q.APIKeyID
		return whole, whole
	case q.AccountID != "":
		whole = s.Scope == ScopeAccount && s.ID == q.AccountID
		return whole, whole
	case s.Scope == ScopeKey:
		return true, q.GroupBy == ByAPIKey
	}
	return false, q.GroupBy == ByAccount
}

func (m importedModel) count(b *Bucket, out *Stats, s ImportedSpan, q StatsQuery, whole, parts bool) {
	r := Record{
		RequestCount: s.Requests, InputTokens: s.InputTokens, OutputTokens: s.OutputTokens,
		CacheCreationTokens: s.CacheCreationTokens, CacheReadTokens: s.CacheReadTokens, TotalTokens: s.TotalTokens, Cost: s.Cost,
	}
	if whole {
		b.Figures = plus(b.Figures, r)
		b.Models[s.Model] = plus(b.Models[s.Model], r)
		out.Summary.TotalRequests += s.Requests
		out.Summary.TotalTokens += s.TotalTokens
		out.Summary.TotalCost = sum(out.Summary.TotalCost, s.Cost)
	}
	into, id := b.Accounts, s.ID
	if q.GroupBy == ByAPIKey {
		into = b.APIKeys
	}
	if (q.GroupBy == ByAccount) != (s.Scope == ScopeAccount) {
		id = "" // the other side is not known
	}
	if parts && into != nil {
		f := plus(into[id], r)
		f.Name = m.names[id]
		into[id] = f
	}
}

// stay is a time during which the clock shows one label.
type stay struct {
	from, to time.Time
	label    string
}

// stays looks at every quarter of an hour, or at every minute of one in which the clock
// was set, like walk.
func stays(start, end time.Time, loc *time.Location, g Granularity) (stays []stay) {
	for t := start; t.Before(end); {
		next := t.Truncate(15 * time.Minute).Add(15 * time.Minute)
		if offsetAt(t, loc) != offsetAt(next, loc) {
			next = t.Truncate(time.Minute).Add(time.Minute)
		}
		if next.After(end) {
			next = end
		}
		if l := labelAt(t, loc, g); len(stays) > 0 && stays[len(stays)-1].label == l {
			stays[len(stays)-1].to = next
		} else {
			stays = append(stays, stay{t, next, l})
		}
		t = next
	}
	return stays
}
