package usage

import (
	"fmt"
	"time"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// span is one bucket of the layout, and the interval of a calendar that it counts in.
type span struct {
	res    legacy.Resolution
	bucket string
	slot   int32 // from 1
}

// keeping is what the layout still has at a moment.
type keeping struct {
	now  time.Time
	zone *time.Location
}

// finest to widest are the layout's resolutions.
var finest = []legacy.Resolution{legacy.Hour, legacy.Day, legacy.Month}

// around gives the span of a resolution that holds t.
func (k keeping) around(res legacy.Resolution, t time.Time) (start, end time.Time) {
	local := t.In(k.zone)
	y, m, d := local.Date()
	switch res {
	case legacy.Hour:
		start = time.Date(y, m, d, local.Hour(), 0, 0, 0, k.zone)
		return start, start.Add(time.Hour)
	case legacy.Day:
		return time.Date(y, m, d, 0, 0, 0, 0, k.zone), time.Date(y, m, d+1, 0, 0, 0, 0, k.zone)
	default:
		return time.Date(y, m, 1, 0, 0, 0, 0, k.zone), time.Date(y, m+1, 1, 0, 0, 0, 0, k.zone)
	}
}

// lives tells whether a span that starts then is not on its way out.
func (k keeping) lives(res legacy.Resolution, start time.Time) bool {
	return start.Add(kept[res]).After(k.now)
}

// fine gives the finest resolution that the layout still has at t; "" is none.
func (k keeping) fine(t time.Time) legacy.Resolution {
	for _, res := range finest {
		if start, _ := k.around(res, t); k.lives(res, start) {
			return res
		}
	}
	return ""
}

// cover cuts a calendar into the layout's widest spans that fit. A span that an end of
// the range divides counts if it starts in the range, and makes its bucket approximate; a
// calendar with other bounds inside than the layout still has is refused.
func (k keeping) cover(p *plan) (spans []span, approximate []int, err error) {
	last := len(p.label) - 1
	for i, label := range p.label {
		t, high := p.bounds[i], p.bounds[i+1]
		for t.Before(high) {
			s, end, fits := k.widest(t, high)
			if !fits {
				var start time.Time
				res := k.fine(t)
				if start, end = k.around(res, t); res == "" || end.After(high) && i < last || start.Before(t) && !t.Equal(p.bounds[0]) {
					return nil, nil, k.refuse(p, res)
				}
				approximate = append(approximate, label)
				s = span{res: res, bucket: legacy.Bucket(res, t, k.zone)}
				if start.Before(t) { // it started before the range
					t = end
					continue
				}
			}
			if s.slot = int32(i + 1); t.Before(k.now.Add(maxAhead)) { //nolint:gosec // at most maxBuckets intervals, twice
				spans = append(spans, s)
			}
			t = end
		}
	}
	return spans, approximate, nil
}

// widest gives the widest span that starts at t and does not end after high.
func (k keeping) widest(t, high time.Time) (s span, end time.Time, fits bool) {
	for i := len(finest) - 1; i >= 0; i-- {
		res := finest[i]
		start, end := k.around(res, t)
		if start.Equal(t) && !end.After(high) && k.lives(res, start) {
			return span{res: res, bucket: legacy.Bucket(res, t, k.zone)}, end, true
		}
	}
	return span{}, time.Time{}, false
}

// named gives the layout's zone, with the name under which a query may ask for it.
func (k keeping) named() string {
	at := k.now.In(k.zone)
	_, offset := at.Zone()
	name := "UTC"
	if hours := offset / 3600; hours != 0 {
		name = fmt.Sprintf("Etc/GMT%+d", -hours) // their signs are the other way round
	}
	return at.Format("UTC-07:00") + " (" + name + ")"
}

// refuse says why a calendar cannot be told from what the layout has: res is its finest
// resolution where that is so.
func (k keeping) refuse(p *plan, res legacy.Resolution) error {
	zone := k.named()
	switch {
	case res == "":
		return result.Invalid("startDate", "a Redis primary keeps nothing for longer than %d days", monthsKept/day)
	case res == legacy.Hour:
		return result.Invalid("timeZone", "a Redis primary counts whole hours of %s", zone)
	case p.Granularity == Hour:
		return result.Invalid("startDate", "a Redis primary keeps hours for %d days", hoursKept/day)
	case p.Granularity == Day && res == legacy.Month:
		return result.Invalid("startDate", "a Redis primary keeps days for %d days", daysKept/day)
	default:
		return result.Invalid("timeZone", "of times more than %d days ago a Redis primary knows days and months of %s alone", hoursKept/day, zone)
	}
}
