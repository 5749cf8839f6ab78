package importer

import (
	"maps"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// piece is a span in the making: what a tier has of a model in a bucket, less what the
// finer tiers have.
type piece struct {
	tier       legacy.Resolution
	bucket     string
	model      string
	start, end time.Time
	counter    legacy.Counter
	cost       decimal.Decimal
}

func (p *piece) empty() bool { return blank(p.counter) && p.cost.IsZero() }

// blank tells that a counter has no figure.
func blank(c legacy.Counter) bool {
	return c.Requests|c.Input|c.Output|c.CacheCreation|c.CacheRead|c.Total == 0
}

// builder makes the spans of a history.
type builder struct {
	*history

	zone     *time.Location
	created  time.Time
	now      time.Time
	existing map[legacy.Resolution]map[string][]*piece
	opening  *usage.ImportedSpan // the existing one
	// horizon is before when a clean-up has removed figures here, cleaned what it has
	// left of them for totals.
	horizon time.Time
	cleaned []*piece
	pieces  []*piece
	notes   map[string]string // by tier and bucket
}

var tiers = map[usage.Resolution]legacy.Resolution{
	usage.SpanHour: legacy.Hour, usage.SpanDay: legacy.Day, usage.SpanMonth: legacy.Month, usage.SpanOpening: legacy.Total,
}

var spanOf = map[legacy.Resolution]usage.Resolution{
	legacy.Hour: usage.SpanHour, legacy.Day: usage.SpanDay, legacy.Month: usage.SpanMonth, legacy.Total: usage.SpanOpening,
}

// recall takes what an earlier import has left. Spans of another offset are refused:
// they would overlap these.
func (b *builder) recall(spans []usage.ImportedSpan) error {
	b.existing = make(map[legacy.Resolution]map[string][]*piece)
	for i := range spans {
		s := &spans[i]
		switch s.Resolution {
		case usage.SpanOpening:
			b.opening = s
			continue
		case usage.SpanCleaned:
			b.cleaned = append(b.cleaned, pieceOf(s, "", ""))
			continue
		}
		tier := tiers[s.Resolution]
		name := legacy.Bucket(tier, s.Start, b.zone)
		if start, err := legacy.Start(tier, name, b.zone); err != nil || !start.Equal(s.Start) {
			return result.Invalid("tz-offset", "an earlier import had another one")
		}
		if b.existing[tier] == nil {
			b.existing[tier] = make(map[string][]*piece)
		}
		b.existing[tier][name] = append(b.existing[tier][name], pieceOf(s, tier, name))
	}
	return nil
}

func pieceOf(s *usage.ImportedSpan, tier legacy.Resolution, name string) *piece {
	return &piece{
		tier: tier, bucket: name, model: s.Model, start: s.Start, end: s.End, cost: s.Cost.Decimal(),
		counter: legacy.Counter{
			Requests: s.Requests, Input: s.InputTokens, Output: s.OutputTokens,
			CacheCreation: s.CacheCreationTokens, CacheRead: s.CacheReadTokens, Total: s.TotalTokens,
		},
	}
}

// build goes from the finest tier to the widest. Buckets that the source has no more
// stay as an earlier import left them.
func (b *builder) build() {
	for _, tier := range []legacy.Resolution{legacy.Hour, legacy.Day, legacy.Month} {
		for _, name := range slices.Sorted(maps.Keys(b.existing[tier])) {
			if here := b.tiers[tier][name]; here == nil || !here.counted() {
				b.pieces = append(b.pieces, b.existing[tier][name]...)
			}
		}
		for _, name := range b.sortedBuckets(tier) {
			if here := b.tiers[tier][name]; here.counted() || here.cost != nil && b.existing[tier][name] == nil {
				start, _ := legacy.Start(tier, name, b.zone) // counter has checked it
				b.difference(here, tier, name, start, end(tier, start))
			}
		}
	}
	b.pieces = slices.DeleteFunc(b.pieces, func(p *piece) bool { return !p.end.After(b.horizon) })
	if total := b.tiers[legacy.Total][""]; total != nil {
		start, end := b.openingSpan()
		b.difference(total, legacy.Total, "", start, end)
	}
	b.pieces = slices.DeleteFunc(b.pieces, (*piece).empty)
}

func end(tier legacy.Resolution, start time.Time) time.Time {
	switch tier {
	case legacy.Hour:
		return start.Add(time.Hour)
	case legacy.Day:
		return start.AddDate(0, 0, 1)
	}
	return start.AddDate(0, 1, 0)
}

// openingSpan is from the birth of the key or account to the oldest span.
func (b *builder) openingSpan() (start, end time.Time) {
	end = b.now.Truncate(time.Hour)
	if b.opening != nil {
		end = b.opening.End
	}
	for _, p := range b.pieces {
		if p.start.Before(end) {
			end = p.start
		}
	}
	if start = b.created.UTC(); start.Before(firstSpan) || !start.Before(end) {
		start = firstSpan
	}
	return start, end
}

// firstSpan is where a balance begins whose owner's birth is not known.
var firstSpan = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// within gives the finer pieces of a bucket.
func (b *builder) within(tier legacy.Resolution, start, end time.Time) (inner []*piece) {
	if tier == legacy.Total {
		return slices.Concat(b.pieces, b.cleaned)
	}
	for _, p := range b.pieces {
		if p.tier != tier && !p.start.Before(start) && p.start.Before(end) {
			inner = append(inner, p)
		}
	}
	return inner
}

// difference makes the pieces of a bucket: what it has that finer ones do not.
func (b *builder) difference(here *bucket, tier legacy.Resolution, name string, start, end time.Time) {
	inner := b.within(tier, start, end)
	rests, why := subtract(here, inner, tier)
	if why == modelsSayMore && b.forget(inner) {
		inner = b.within(tier, start, end)
		rests, why = subtract(here, inner, tier)
	}
	if why != "" {
		b.note(tier, name, why)
	}
	var made []*piece
	for _, model := range slices.Sorted(maps.Keys(rests)) {
		if !blank(rests[model]) {
			made = append(made, &piece{tier: tier, bucket: name, model: model, start: start, end: end, counter: rests[model]})
		}
	}
	made = b.charge(here, made, inner, &piece{tier: tier, bucket: name, model: unknownModel, start: start, end: end})
	b.pieces = append(b.pieces, made...)
}

// forget takes away finer pieces of no known model, and tells whether there were any.
// Old versions and exports have hours without models but days with them: together they
// would count twice, and whose usage it was says more than in which hour.
func (b *builder) forget(inner []*piece) bool {
	before := len(b.pieces)
	b.pieces = slices.DeleteFunc(b.pieces, func(p *piece) bool {
		gone := p.model == unknownModel && slices.Contains(inner, p)
		if gone {
			b.note(p.tier, p.bucket, toldWider)
		}
		return gone
	})
	return len(b.pieces) < before
}

// What may be wrong with a bucket.
const (
	finerSayMore  = "the source contradicts itself: finer counters say more"
	modelsSayMore = "the source contradicts itself: the counters of its models say more"
	finerCostMore = "the source contradicts itself: finer costs are more"
	// toldWider is of what old versions and exports have.
	toldWider = "its models are not counted: it counts in the day or the month, which have them"
)

// subtract gives by model what a bucket has more than its finer pieces, and what is
// wrong with that. What it has beyond its models, from times when they were not
// counted, is the unknown model's.
func subtract(here *bucket, inner []*piece, tier legacy.Resolution) (rests map[string]legacy.Counter, why string) {
	var all, sum legacy.Counter
	finer := make(map[string]*legacy.Counter)
	for _, p := range inner {
		all.Add(&p.counter)
		if finer[p.model] == nil {
			finer[p.model] = &legacy.Counter{}
		}
		finer[p.model].Add(&p.counter)
	}
	rests = make(map[string]legacy.Counter, len(here.models)+1)
	for model, c := range here.models {
		part := finer[model]
		if part == nil {
			part = &legacy.Counter{}
		}
		rest, over := minus(*c, part)
		if over && tier != legacy.Total { // alltime is known to be too low
			why = finerSayMore
		}
		rests[model] = rest
		sum.Add(&rest)
	}
	if here.own == nil {
		return rests, why
	}
	remaining, over := minus(*here.own, &all)
	leftover, more := minus(remaining, &sum)
	switch {
	case over:
		why = finerSayMore
	case more && tier == legacy.Total: // months say when, all time only of which model
		clear(rests)
		leftover = remaining
	case more:
		why = modelsSayMore
	}
	leftover.RatedMicro = 0
	unknown := rests[unknownModel]
	unknown.Add(&leftover)
	rests[unknownModel] = unknown
	return rests, why
}

func (b *builder) note(tier legacy.Resolution, name, why string) {
	if b.notes == nil {
		b.notes = make(map[string]string)
	}
	if at := string(tier) + name; b.notes[at] == "" || b.notes[at] == finerCostMore {
		b.notes[at] = why // what is wrong with costs explains less
	}
}

// spans gives what is to be set: what has changed against the existing spans, and
// those of them that have no figures any more.
func (b *builder) spans(existing []usage.ImportedSpan) (changed []usage.ImportedSpan) {
	type place struct {
		resolution usage.Resolution
		start      int64
		model      string
	}
	before := make(map[place]usage.ImportedSpan, len(existing))
	for _, s := range existing {
		before[place{s.Resolution, s.Start.UnixMicro(), s.Model}] = s
	}
	for _, p := range b.pieces {
		s := p.span(b.scope, b.id.String())
		at := place{s.Resolution, s.Start.UnixMicro(), s.Model}
		if old, ok := before[at]; !ok || !equal(old, s) {
			changed = append(changed, s)
		}
		delete(before, at)
	}
	for _, s := range before {
		if s.Resolution == usage.SpanCleaned {
			continue
		}
		changed = append(changed, usage.ImportedSpan{
			Scope: s.Scope, ID: s.ID, Model: s.Model, Resolution: s.Resolution, Start: s.Start, End: s.End,
		})
	}
	return changed
}

func equal(a, b usage.ImportedSpan) bool {
	if !a.Start.Equal(b.Start) || !a.End.Equal(b.End) || !a.Cost.Equal(b.Cost) {
		return false
	}
	a.Start, a.End, a.Cost = b.Start, b.End, b.Cost
	return a == b
}

func (p *piece) span(scope usage.Scope, id string) usage.ImportedSpan {
	c := p.counter
	return usage.ImportedSpan{
		Scope: scope, ID: id, Model: p.model, Resolution: spanOf[p.tier],
		Start: p.start.UTC().Truncate(time.Microsecond), End: p.end.UTC().Truncate(time.Microsecond),
		Requests: c.Requests, InputTokens: c.Input, OutputTokens: c.Output,
		CacheCreationTokens: c.CacheCreation, CacheReadTokens: c.CacheRead, TotalTokens: c.Total, Cost: result.NewMoney(p.cost),
	}
}
