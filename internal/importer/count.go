package importer

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

const (
	// groupIDs and groupCounts bound the keys or accounts that are counted at a time.
	groupIDs    = 500
	groupCounts = 20_000
)

// count makes the spans, file by file, writes them, and compares.
func (im *run) count(ctx context.Context) error {
	for part := range partitions {
		histories, err := im.histories(part)
		if err != nil {
			return err
		}
		for _, scope := range []usage.Scope{usage.ScopeKey, usage.ScopeAccount} {
			for _, group := range groups(histories[scope]) {
				if err := im.countGroup(ctx, scope, group); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (im *run) histories(part int) (map[usage.Scope]map[uuid.UUID]*history, error) {
	all := map[usage.Scope]map[uuid.UUID]*history{usage.ScopeKey: {}, usage.ScopeAccount: {}}
	err := im.spill.part(part, func(c *counted) error {
		h := all[c.Scope][c.ID]
		if h == nil {
			h = newHistory(c.Scope, c.ID)
			all[c.Scope][c.ID] = h
		}
		h.add(c)
		return nil
	})
	return all, err
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
	builders := make([]*builder, len(group))
	var changed []usage.ImportedSpan
	for i, h := range group {
		b := &builder{history: h, zone: im.zone, created: im.createdAt(h), now: im.began}
		if err := b.recall(existing[h.id.String()]); err != nil {
			return err
		}
		b.build()
		builders[i] = b
		changed = append(changed, b.spans(existing[h.id.String()])...)
		if err := im.keepCosts(ctx, h); err != nil {
			return err
		}
	}
	if !im.DryRun {
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
		im.cleaned = im.cleaned || done.Cleaned > 0
	}
	return nil
}

// keepCosts keeps the costs that have no column, a document a kind.
func (im *run) keepCosts(ctx context.Context, h *history) error {
	for _, kind := range []legacy.Kind{legacy.KeyRealCost, legacy.KeyOpusCost} {
		if len(h.kept[kind]) > 0 {
			if err := im.keep(ctx, kind, h.id.String(), h.kept[kind]); err != nil {
				return err
			}
		}
	}
	return nil
}
