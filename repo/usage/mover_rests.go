package usage

import (
	"context"
	"maps"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/internal/legacy"
)

// CounterRests gives what an import has kept of counters besides their figures: by id and
// the name of the counter's key, its fields.
type CounterRests interface {
	CounterRests(ctx context.Context, accounts bool, ids []string) (map[string]map[string]map[string]string, error)
}

// addRests adds to counters what an import has kept of them: the layout has it, and
// PostgreSQL does not count it. A counter that has gone here has it no more.
func (m mover) addRests(ctx context.Context, page []*holding) error {
	if m.Rests == nil || len(page) == 0 {
		return nil
	}
	scope := page[0].scope
	ids := make([]string, 0, len(page))
	for _, h := range page {
		if h.id != uuid.Nil {
			ids = append(ids, h.id.String())
		}
	}
	rests, err := m.Rests.CounterRests(ctx, scope == ScopeAccount, ids)
	if err != nil {
		return err
	}
	for _, h := range page {
		for key, fields := range rests[h.id.String()] {
			n := legacy.ParseName(key)
			t := h.cells[spot{bucket{n.Resolution, n.Bucket}, n.Model}]
			if t == nil {
				continue
			}
			c, _ := legacy.ParseCounter(fields)
			t.Ephemeral5m, t.Ephemeral1h = t.Ephemeral5m+c.Ephemeral5m, t.Ephemeral1h+c.Ephemeral1h
			t.longs.input += longOf(fields, "InputTokens")
			t.longs.output += longOf(fields, "OutputTokens")
			t.longs.requests += longOf(fields, "Requests")
			t.others = maps.Clone(fields)
			maps.DeleteFunc(t.others, func(name, _ string) bool { return legacy.IsFigure(name) || counts[name] })
		}
	}
	return nil
}

// counts are the fields, besides a counter's figures, that a move writes itself.
var counts = func() map[string]bool {
	names := map[string]bool{"realCostMicro": true}
	for _, name := range []string{
		"ephemeral5mTokens", "ephemeral1hTokens", "longContextInputTokens", "longContextOutputTokens", "longContextRequests",
	} {
		names[name], names["total"+strings.ToUpper(name[:1])+name[1:]] = true, true
	}
	return names
}()

// longOf reads a figure of long contexts, of a bucket or of all time.
func longOf(fields map[string]string, what string) int64 {
	for _, name := range []string{"longContext" + what, "totalLongContext" + what} {
		if n, err := strconv.ParseInt(fields[name], 10, 64); err == nil && n > 0 && n <= maxExact {
			return n
		}
	}
	return 0
}
