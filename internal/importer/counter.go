package importer

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

const (
	unknownModel = "unknown"
	maxModel     = 255
	// ahead is how far behind now a counter may begin: clocks differ.
	ahead = 23 * time.Hour
	// maxFigure leaves room for what is added to a span.
	maxFigure = usage.MaxImportedCount / 2
)

// counter sends a counter on its way, or names why not. Those of ids that there are no
// more are kept as they are.
func (im *run) counter(ctx context.Context, e Entry) error {
	c := counted{Scope: usage.ScopeKey, Kind: e.Kind, Resolution: e.Resolution, Model: e.Model, Bucket: e.Bucket, Key: e.Key, Text: e.Text}
	if e.Kind == legacy.AccountUsage || e.Kind == legacy.AccountModelUsage {
		c.Scope = usage.ScopeAccount
	}
	var isID bool
	if c.ID, isID = parseID(e.ID); !isID || !im.isKnown(&c) {
		return im.refuse(ctx, named(e), "an orphan: no such "+owner(c.Scope))
	}
	if e.Resolution != legacy.Total && e.Resolution != legacy.Week {
		start, err := legacy.Start(e.Resolution, e.Bucket, im.zone)
		if err != nil || start.Before(firstSpan) || start.After(im.began.Add(ahead)) {
			return im.refuse(ctx, named(e), "its time is none, or lies ahead")
		}
	}
	if why := c.read(e); why != "" {
		if c.Damaged = true; strings.HasPrefix(why, "nothing") {
			return im.refuse(ctx, named(e), why)
		}
		if err := im.refuse(ctx, named(e), why); err != nil {
			return err
		}
	}
	var whole bool
	if c.Rest, whole = rest(e, &c.Counter); !whole && !c.Damaged {
		if err := im.refuse(ctx, named(e), "has fields that are no text"); err != nil {
			return err
		}
	}
	im.report.Imported[e.Kind]++
	return im.spill.add(&c)
}

// rest gives what a counter has that no column holds: parts of cache tokens, long
// contexts, and what is of versions to come. An account's hour has its models' figures
// once more. A field that is no text makes it less than whole.
func rest(e Entry, c *legacy.Counter) (kept map[string]string, whole bool) {
	whole = true
	for name, text := range e.Fields {
		none := text == "" || text == "0" || legacy.IsFigure(name) && (!c.Unsplit || !strings.HasSuffix(strings.ToLower(name), "tokens"))
		if none || strings.HasPrefix(name, "model:") || name == "realCostMicro" && text == e.Fields["ratedCostMicro"] {
			continue
		}
		if !utf8.ValidString(name) || !utf8.ValidString(text) {
			whole = false
			continue
		}
		if kept == nil {
			kept = make(map[string]string)
		}
		kept[name] = text
	}
	return kept, whole
}

// named makes the entry be reported by the name of its key.
func named(e Entry) Entry {
	e.ID = e.Key
	return e
}

func owner(s usage.Scope) string {
	if s == usage.ScopeAccount {
		return "account"
	}
	return "API key"
}

func (im *run) isKnown(c *counted) bool {
	if c.Scope == usage.ScopeAccount {
		_, ok := im.accounts[c.ID]
		return ok
	}
	_, ok := im.keys[c.ID]
	return ok
}

// read gives what is wrong with a counter, with "nothing" first where no figure of it
// can be used.
func (c *counted) read(e Entry) string {
	switch e.Kind {
	case legacy.KeyRealCost, legacy.KeyOpusCost:
		if !utf8.ValidString(e.Text) || !utf8.ValidString(e.Key) {
			return "nothing in it is an amount"
		}
		return ""
	case legacy.KeyCost:
		if _, ok := legacy.ParseAmount(e.Text); !ok {
			return "nothing in it is an amount"
		}
		return ""
	}
	var faults []string
	c.Counter, faults = legacy.ParseCounter(e.Fields)
	if len(faults) == 1 && faults[0] == "" {
		return "nothing in it is a figure"
	}
	for _, n := range []int64{c.Counter.Requests, c.Counter.Input, c.Counter.Output, c.Counter.CacheCreation, c.Counter.CacheRead, c.Counter.Total} {
		if n > maxFigure {
			return "nothing in it can be believed: it has a figure above 5·10^13"
		}
	}
	if c.Model != "" && (len(c.Model) > maxModel || !utf8.ValidString(c.Model) || strings.ContainsRune(c.Model, 0)) {
		c.Model = unknownModel
		faults = append(faults, "the model's name")
	}
	if len(faults) > 0 {
		return "damaged: " + strings.Join(faults, ", ")
	}
	return ""
}
