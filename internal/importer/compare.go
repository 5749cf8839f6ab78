package importer

import (
	"time"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// compare puts every total, month, day and hour of the source beside what the target
// says. Of hours, which are many, those that differ are told.
func (im *run) compare(b *builder, target []usage.ImportedSpan) error {
	for _, tier := range []legacy.Resolution{legacy.Total, legacy.Month, legacy.Day, legacy.Hour} {
		for _, name := range b.sortedBuckets(tier) {
			here := b.tiers[tier][name]
			if !here.counted() || tier == legacy.Total && here.own == nil {
				continue // a cost alone, or a total that covers part of the time
			}
			c := Compared{Scope: string(b.scope), ID: b.id.String(), Period: string(tier), Bucket: name}
			cost, known := here.charge()
			c.Source = figuresOf(here.sum())
			c.Source.Cost = result.NewMoney(cost)
			c.Target = b.targetOf(tier, name, target)
			if tier == legacy.Hour && !c.Differs() {
				continue
			}
			c.Explained = b.explain(&c, tier, known)
			if err := im.report.compare(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// explain tells why figures may differ; "" is for no reason. What is wrong with costs
// alone explains nothing else.
func (b *builder) explain(c *Compared, tier legacy.Resolution, costKnown bool) string {
	start, err := legacy.Start(tier, c.Bucket, b.zone)
	note := b.notes[string(tier)+c.Bucket]
	switch {
	case note != "" && note != finerCostMore:
		return note
	case b.damaged:
		return "some of its counters are damaged"
	case err == nil && start.Before(b.horizon):
		return "a clean-up has removed figures here"
	case c.countsDiffer():
		return ""
	case note != "":
		return note
	case !costKnown && b.scope == usage.ScopeKey:
		return "the source keeps no cost of this time"
	}
	return ""
}

// targetOf sums the spans that begin in a bucket and are no wider.
func (b *builder) targetOf(tier legacy.Resolution, name string, spans []usage.ImportedSpan) (f usage.Figures) {
	var start, last time.Time
	if tier != legacy.Total {
		start, _ = legacy.Start(tier, name, b.zone)
		last = end(tier, start)
	}
	for _, s := range spans {
		if tier == legacy.Total || narrower(s.Resolution, tier) && !s.Start.Before(start) && s.Start.Before(last) {
			f.Requests += s.Requests
			f.InputTokens += s.InputTokens
			f.OutputTokens += s.OutputTokens
			f.CacheCreationTokens += s.CacheCreationTokens
			f.CacheReadTokens += s.CacheReadTokens
			f.TotalTokens += s.TotalTokens
			f.Cost = f.Cost.Add(s.Cost)
		}
	}
	return f
}

// narrower tells whether a span fits in a tier's buckets.
func narrower(r usage.Resolution, tier legacy.Resolution) bool {
	switch r {
	case usage.SpanHour:
		return true
	case usage.SpanDay:
		return tier != legacy.Hour
	}
	return r == usage.SpanMonth && tier == legacy.Month
}

func figuresOf(c legacy.Counter) usage.Figures {
	return usage.Figures{
		Requests: c.Requests, InputTokens: c.Input, OutputTokens: c.Output,
		CacheCreationTokens: c.CacheCreation, CacheReadTokens: c.CacheRead, TotalTokens: c.Total,
	}
}
