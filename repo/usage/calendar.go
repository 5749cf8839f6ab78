package usage

import (
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// maxBuckets bounds the elements of one answer.
	maxBuckets = 10_000
	// cell is the width of a rollup.
	cell = 15 * time.Minute
)

// calendar cuts a range where the zone's clocks change to another hour, day or
// month. An interval lies between two neighbouring bounds and belongs to one
// label; a label may have two intervals, where a clock was set back over its
// edge (St. John's, until 2011, at 00:01).
type calendar struct {
	bounds []time.Time // the first is the start, the last the end of the range
	labels []string    // of the buckets, in order
	label  []int       // of each interval: the index of its bucket
}

// newCalendar cuts [start, end); more than maxBuckets is an error.
func newCalendar(start, end time.Time, loc *time.Location, g Granularity) (calendar, error) {
	c := calendar{bounds: []time.Time{start}}
	seen := make(map[string]int)
	for t := start; t.Before(end); {
		next := nextBound(t.In(loc), g)
		name := g.label(t.In(loc))
		at, known := seen[name]
		if !known {
			if len(c.labels) == maxBuckets {
				return calendar{}, result.Invalid("granularity", "the range has more than %d buckets", maxBuckets)
			}
			at = len(c.labels)
			seen[name] = at
			c.labels = append(c.labels, name)
		}
		if next.After(end) {
			next = end
		}
		if n := len(c.label); n > 0 && c.label[n-1] == at {
			c.bounds[n] = next // the clocks changed, the label did not
		} else {
			c.label = append(c.label, at)
			c.bounds = append(c.bounds, next)
		}
		t = next
	}
	return c, nil
}

// torn gives the cells that a bound divides: no rollup can be split there.
func (c calendar) torn() []time.Time {
	cells := []time.Time{}
	for _, b := range c.bounds {
		if start := b.Truncate(cell); !start.Equal(b) && (len(cells) == 0 || !cells[len(cells)-1].Equal(start)) {
			cells = append(cells, start)
		}
	}
	return cells
}

// label names the bucket of a local time.
func (g Granularity) label(local time.Time) string {
	switch g {
	case Hour:
		return local.Format("2006-01-02T15:00:00Z07:00")
	case Day:
		return local.Format("2006-01-02")
	default:
		return local.Format("2006-01")
	}
}

// nextBound is the first moment after t at which the label may change: when the
// clock reaches the next hour, day or month, or when the clock is set.
func nextBound(local time.Time, g Granularity) time.Time {
	_, offset := local.Zone()
	fixed := local.In(time.FixedZone("", offset))
	var next time.Time
	switch y, m, d := fixed.Date(); g {
	case Hour:
		next = time.Date(y, m, d, fixed.Hour()+1, 0, 0, 0, fixed.Location())
	case Day:
		next = time.Date(y, m, d+1, 0, 0, 0, 0, fixed.Location())
	default:
		next = time.Date(y, m+1, 1, 0, 0, 0, 0, fixed.Location())
	}
	if _, set := local.ZoneBounds(); !set.IsZero() && set.Before(next) {
		next = set
	}
	return next.UTC()
}
