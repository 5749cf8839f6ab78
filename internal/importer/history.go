package importer

import (
	"cmp"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/legacyobjects"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// history is all that the source knows of the usage of a key or an account.
type history struct {
	scope usage.Scope
	id    uuid.UUID
	tiers map[legacy.Resolution]map[string]*bucket // by Resolution, then by bucket
	// kept is what has no column, by kind and the name of its key.
	kept map[legacy.Kind]map[string]any
	// damaged tells that some counter could not be read whole.
	damaged bool
	counts  int
}

// bucket is a span of a tier.
type bucket struct {
	own    *legacy.Counter // over all models
	models map[string]*legacy.Counter
	// unnamed are what makes the unknown model's, by key: several names cannot be written.
	unnamed map[string]*legacy.Counter
	cost    *decimal.Decimal
	seen    map[string]*seenUse // what the events say, by model
}

func newHistory(scope usage.Scope, id uuid.UUID) *history {
	return &history{scope: scope, id: id, tiers: make(map[legacy.Resolution]map[string]*bucket), kept: make(map[legacy.Kind]map[string]any)}
}

func (h *history) at(res legacy.Resolution, name string) *bucket {
	tier := h.tiers[res]
	if tier == nil {
		tier = make(map[string]*bucket)
		h.tiers[res] = tier
	}
	b := tier[name]
	if b == nil {
		b = &bucket{models: make(map[string]*legacy.Counter)}
		tier[name] = b
	}
	return b
}

// add takes a counter. SCAN may have given it twice.
func (h *history) add(c *counted) {
	h.counts++
	h.damaged = h.damaged || c.Damaged
	if len(c.Rest) > 0 {
		h.keep(restOf[h.scope], c.Key, c.Rest)
	}
	switch c.Kind {
	case legacy.KeyUsage, legacy.AccountUsage:
		h.at(c.Resolution, c.Bucket).own = &c.Counter
	case legacy.KeyModelUsage, legacy.AccountModelUsage:
		b := h.at(c.Resolution, c.Bucket)
		b.models[c.Model] = &c.Counter
		if c.Model == unknownModel {
			b.models[c.Model] = b.unknown(c)
		}
	case legacy.KeyCost:
		if amount, ok := legacy.ParseAmount(c.Text); ok {
			h.at(c.Resolution, c.Bucket).cost = &amount
		}
	case legacy.Events:
		h.at(c.Resolution, c.Bucket).see(c)
	default:
		h.keep(c.Kind, c.Key, c.Text)
	}
}

// restOf are the kinds of objects of what counters have besides their figures.
var restOf = map[usage.Scope]legacy.Kind{usage.ScopeKey: legacyobjects.KeyRests, usage.ScopeAccount: legacyobjects.AccountRests}

func (h *history) keep(kind legacy.Kind, key string, value any) {
	if h.kept[kind] == nil {
		h.kept[kind] = make(map[string]any)
	}
	h.kept[kind][key] = value
}

// unknown takes a counter of the unknown model's, and gives their sum.
func (b *bucket) unknown(c *counted) *legacy.Counter {
	if b.unnamed == nil {
		b.unnamed = make(map[string]*legacy.Counter)
	}
	b.unnamed[c.Key] = &c.Counter
	sum, rated := new(legacy.Counter), false
	for _, part := range b.unnamed {
		sum.Add(part)
		rated = rated || part.RatedMicro >= 0
	}
	if !rated {
		sum.RatedMicro = -1
	}
	return sum
}

// counted tells whether the bucket has figures, or a cost alone.
func (b *bucket) counted() bool { return b.own != nil || len(b.models) > 0 }

// sum is what the bucket has over all models, as the source says it.
func (b *bucket) sum() legacy.Counter {
	if b.own != nil {
		return *b.own
	}
	var sum legacy.Counter
	for _, c := range b.models {
		sum.Add(c)
	}
	return sum
}

// charge gives what the bucket cost. Where no amount is kept, the models' millionths
// of a dollar are all that there is.
func (b *bucket) charge() (amount decimal.Decimal, known bool) {
	if b.cost != nil {
		return *b.cost, true
	}
	micros := int64(0)
	for _, c := range b.models {
		if c.RatedMicro >= 0 {
			known, micros = true, micros+c.RatedMicro
		}
	}
	return decimal.New(micros, -6), known
}

// minus takes part from whole, never below 0; over tells that a figure would be.
func minus(whole legacy.Counter, part *legacy.Counter) (rest legacy.Counter, over bool) {
	rest, over = whole.Minus(part)
	rest.RatedMicro = max(0, whole.RatedMicro-max(0, part.RatedMicro))
	rest.Total = max(rest.Total, rest.Input+rest.Output+rest.CacheCreation+rest.CacheRead)
	return rest, over
}

// sortedBuckets are those of a tier, oldest first: their names sort as their times do.
func (h *history) sortedBuckets(res legacy.Resolution) []string {
	return slices.Sorted(maps.Keys(h.tiers[res]))
}

func byID(a, b *history) int { return cmp.Compare(a.id.String(), b.id.String()) }
