package usage

import (
	"slices"
	"time"
)

// tier is a width of rollups; whole ones of a range are read from it.
type tier struct {
	name  string
	width time.Duration
}

// The tiers of one key or account and of all together, the widest first.
var (
	keyTiers    = []tier{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"quarter", cell}}
	globalTiers = []tier{{"day", 24 * time.Hour}, {"quarter", cell}}
)

// ranges are what to read from which tier, and the cells to read from the records.
type ranges struct {
	tiers       []string
	lows, highs []time.Time
	torn        []time.Time
}

// ranges covers every interval by the widest cells that fit in it. Neighbours of
// one tier become one range, also across a bound. Torn cells from before the
// horizon, whose records may be gone, are read as whole ones.
func (c calendar) ranges(tiers []tier, horizon time.Time) ranges {
	r := ranges{tiers: []string{}, lows: []time.Time{}, highs: []time.Time{}, torn: []time.Time{}}
	for i := range c.label {
		r.cover(c.bounds[i], c.bounds[i+1], tiers)
	}
	for _, t := range c.torn() {
		if t.Before(horizon) {
			r.add(tiers[len(tiers)-1].name, t, t.Add(cell))
		} else {
			r.torn = append(r.torn, t)
		}
	}
	return r
}

func (r *ranges) cover(low, high time.Time, tiers []tier) {
	if len(tiers) == 0 || !low.Before(high) {
		return
	}
	first, finer := tiers[0], tiers[1:]
	start, end := low.Add(first.width-1).Truncate(first.width), high.Truncate(first.width)
	if !start.Before(end) {
		r.cover(low, high, finer)
		return
	}
	r.cover(low, start, finer)
	r.add(first.name, start, end)
	r.cover(end, high, finer)
}

func (r *ranges) add(name string, low, high time.Time) {
	for i := len(r.tiers) - 1; i >= max(0, len(r.tiers)-2*len(keyTiers)); i-- {
		if r.tiers[i] == name && r.highs[i].Equal(low) {
			r.highs[i] = high
			return
		}
	}
	r.tiers, r.lows, r.highs = append(r.tiers, name), append(r.lows, low), append(r.highs, high)
}

// approximate gives the buckets that have records of a neighbour, or lack some:
// those beside a bound that divides a cell from before the horizon.
func (c calendar) approximate(horizon time.Time) (labels []int) {
	for i, b := range c.bounds {
		if start := b.Truncate(cell); start.Equal(b) || !start.Before(horizon) {
			continue
		}
		labels = append(labels, c.label[max(i-1, 0)], c.label[min(i, len(c.label)-1)])
	}
	slices.Sort(labels)
	return slices.Compact(labels)
}
