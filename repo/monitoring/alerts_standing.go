package monitoring

import "time"

// standing is where an alert stands, and since when.
type standing struct {
	AlertState

	since time.Time
}

// unwatched is what is left of it after a time that nobody has watched: a breach may
// have come and gone.
func (s standing) unwatched(now time.Time) standing {
	if s.AlertState == AlertPending {
		return standing{AlertPending, now}
	}
	return s
}

// next is where it stands after one more look at the metric. One that nobody knows now
// does not hold for a duration, and ends no firing.
func (s standing) next(c AlertConfig, value float64, known bool, now time.Time) standing {
	holds := known && c.Operator.holds(value, c.Threshold)
	switch {
	case !known && s.AlertState == AlertFiring:
		return s
	case !holds && s.AlertState == AlertOK:
		return s
	case !holds:
		return standing{AlertOK, now}
	case s.AlertState == AlertFiring:
		return s
	case s.AlertState == AlertOK && c.Duration > 0:
		return standing{AlertPending, now}
	case s.AlertState == AlertOK || now.Sub(s.since) >= c.Duration:
		return standing{AlertFiring, now}
	}
	return s
}
