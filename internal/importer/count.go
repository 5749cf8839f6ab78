package importer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/legacyobjects"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

const (
	// groupIDs and groupCounts bound the keys or accounts that are counted at a time.
	groupIDs    = 500
	groupCounts = 20_000 // about 10 MB
)

// count makes the spans, file by file, writes them, and compares.
func (im *run) count(ctx context.Context) error {
	histories := make(map[usage.Scope]map[uuid.UUID]*history)
	counts := 0
	for part := range partitions {
		n, err := im.histories(part, histories)
		if err != nil {
			return err
		}
		if counts += n; counts < groupCounts && part < partitions-1 {
			continue // a small deployment's files go together
		}
		for _, scope := range []usage.Scope{usage.ScopeKey, usage.ScopeAccount} {
			for _, group := range groups(histories[scope]) {
				if err := im.countGroup(ctx, scope, group); err != nil {
					return err
				}
			}
		}
		clear(histories)
		counts = 0
	}
	return nil
}

// histories reads a file, and tells how many counters are in it.
func (im *run) histories(part int, all map[usage.Scope]map[uuid.UUID]*history) (counts int, err error) {
	err = im.spill.part(part, func(c *counted) error {
		if all[c.Scope] == nil {
			all[c.Scope] = make(map[uuid.UUID]*history)
		}
		h := all[c.Scope][c.ID]
		if h == nil {
			h = newHistory(c.Scope, c.ID)
			all[c.Scope][c.ID] = h
		}
		h.add(c)
		counts++
		return nil
	})
	return counts, err
}

// groups divides histories into groups of bounded size, in the order of their ids.
func groups(histories map[uuid.UUID]*history) (all [][]*history) {
	sorted := make([]*history, 0, len(histories))
	for _, h := range histories {
		sorted = append(sorted, h)
	}
	slices.SortFunc(sorted, byID)
	counts := 0
	for _, h := range sorted {
		if last := len(all) - 1; last < 0 || counts+h.counts > groupCounts || len(all[last]) == groupIDs {
			all, counts = append(all, nil), 0
		}
		last := len(all) - 1
		all[last], counts = append(all[last], h), counts+h.counts
	}
	return all
}

func (im *run) countGroup(ctx context.Context, scope usage.Scope, group []*history) error {
	existing, err := im.stored(ctx, scope, group)
	if err != nil {
		return err
	}
	horizon, err := im.client.Usage.RollupsFrom(ctx)
	if err != nil {
		return err
	}
	builders := make([]*builder, len(group))
	var changed []usage.ImportedSpan
	for i, h := range group {
		b := &builder{history: h, zone: im.zone, created: im.createdAt(h), now: im.began, horizon: horizon}
		if err := b.recall(existing[h.id.String()]); err != nil {
			return err
		}
		b.build()
		builders[i] = b
		changed = append(changed, b.spans(existing[h.id.String()])...)
	}
	if err := im.keepParts(ctx, group); err != nil {
		return err
	}
	if !im.DryRun {
		if err := im.turn.Check(ctx); err != nil {
			return err
		}
		if err := im.write(ctx, changed); err != nil {
			return err
		}
		if existing, err = im.stored(ctx, scope, group); err != nil {
			return err
		}
	}
	for _, b := range builders {
		target := existing[b.id.String()]
		if im.DryRun {
			target = b.planned()
		}
		if err := im.compare(b, target); err != nil {
			return err
		}
	}
	return nil
}

func (im *run) createdAt(h *history) time.Time {
	if h.scope == usage.ScopeAccount {
		return im.accounts[h.id]
	}
	return im.keys[h.id].created
}

// planned are the spans that a dry run does not write.
func (b *builder) planned() []usage.ImportedSpan {
	spans := make([]usage.ImportedSpan, len(b.pieces))
	for i, p := range b.pieces {
		spans[i] = p.span(b.scope, b.id.String())
	}
	return spans
}

// stored gives the spans that are there, by id.
func (im *run) stored(ctx context.Context, scope usage.Scope, group []*history) (map[string][]usage.ImportedSpan, error) {
	ids := make([]string, len(group))
	for i, h := range group {
		ids[i] = h.id.String()
	}
	spans, err := im.client.Usage.Imported(ctx, scope, ids).Get()
	if errors.Is(err, result.InvalidQuery) && len(group) > 1 { // too many together
		half := len(group) / 2
		first, err := im.stored(ctx, scope, group[:half])
		if err != nil {
			return nil, err
		}
		second, err := im.stored(ctx, scope, group[half:])
		for id, s := range second {
			first[id] = s
		}
		return first, err
	}
	byID := make(map[string][]usage.ImportedSpan, len(group))
	for _, s := range spans {
		byID[s.ID] = append(byID[s.ID], s)
	}
	return byID, err
}

func (im *run) write(ctx context.Context, spans []usage.ImportedSpan) error {
	for part := range slices.Chunk(spans, usage.MaxSpans) {
		done, err := im.client.Usage.Import(ctx, part).Get()
		if err != nil {
			return err
		}
		im.report.Written += done.Written + done.Removed
	}
	return nil
}

// keepParts keeps what has no column of a group, a document a kind and id. What the
// source has no more stays as an earlier import left it.
func (im *run) keepParts(ctx context.Context, group []*history) error {
	for _, kind := range []legacy.Kind{legacy.KeyRealCost, legacy.KeyOpusCost, legacyobjects.KeyRests, legacyobjects.AccountRests} {
		having := slices.DeleteFunc(slices.Clone(group), func(h *history) bool { return len(h.kept[kind]) == 0 })
		for part := range slices.Chunk(having, partsAtATime) {
			before, err := im.keptBefore(ctx, kind, part)
			if err != nil {
				return err
			}
			for _, h := range part {
				doc := before[h.id.String()]
				if doc == nil {
					doc = make(map[string]any)
				}
				maps.Copy(doc, h.kept[kind])
				if err := im.keep(ctx, kind, h.id.String(), doc); err != nil {
					return err
				}
				if kind == restOf[h.scope] {
					im.restCounters, im.restOwners = im.restCounters+len(h.kept[kind]), im.restOwners+1
				}
			}
		}
	}
	return nil
}

// partsAtATime bounds the documents that are read together: some have a megabyte.
const partsAtATime = 50

func (im *run) keptBefore(ctx context.Context, kind legacy.Kind, group []*history) (map[string]map[string]any, error) {
	if im.DryRun {
		return nil, nil
	}
	ids := make([]string, len(group))
	for i, h := range group {
		ids[i] = h.id.String()
	}
	objects, err := im.client.LegacyObjects.Get(ctx, string(kind), ids)
	before := make(map[string]map[string]any, len(objects))
	for _, o := range objects {
		var doc map[string]any
		if json.Unmarshal(o.Data, &doc) == nil {
			before[o.ID] = doc
		}
	}
	return before, err
}

// tellRests names what counters have besides their figures.
func (im *run) tellRests(context.Context) error {
	if im.restCounters == 0 {
		return nil
	}
	return im.report.skip("counter_rest", "", fmt.Sprintf(
		"%d counters of %d keys and accounts have parts of cache tokens, long contexts or fields that are not known: kept as they were, beside the figures", im.restCounters, im.restOwners))
}
