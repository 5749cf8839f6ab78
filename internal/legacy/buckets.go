package legacy

import (
	"errors"
	"time"
)

// words are those of the service for resolutions.
var words = map[Resolution]string{Hour: "hourly", Day: "daily", Month: "monthly", Week: "weekly", Total: "total"}

var resolutions = map[string]Resolution{"hourly": Hour, "daily": Day, "monthly": Month}

// layouts are how the service writes the spans of counters.
var layouts = map[Resolution]string{Hour: "2006-01-02:15", Day: time.DateOnly, Month: "2006-01"}

// DefaultOffset is the service's TIMEZONE_OFFSET where none is set, or 0 is, which it
// takes for unset.
const DefaultOffset = 8

// Offset gives the zone of a deployment whose TIMEZONE_OFFSET is hours. The service
// knows no zones with summer time and none that lie by a part of an hour.
func Offset(hours int) *time.Location {
	return time.FixedZone("", hours*3600)
}

var errBucket = errors.New("not a bucket of its resolution")

// Start gives when a counter's span begins.
func Start(res Resolution, bucket string, zone *time.Location) (time.Time, error) {
	layout := layouts[res]
	if layout == "" || len(bucket) != len(layout) {
		return time.Time{}, errBucket
	}
	t, err := time.ParseInLocation(layout, bucket, zone)
	if err != nil || t.Year() < 2000 {
		return time.Time{}, errBucket
	}
	return t, nil
}

// Bucket gives the span that holds t, as the service writes it.
func Bucket(res Resolution, t time.Time, zone *time.Location) string {
	return t.In(zone).Format(layouts[res])
}

// cutBucket takes a bucket and the ':' before it from the end.
func cutBucket(text string, res Resolution) (rest, bucket string, ok bool) {
	at := len(text) - len(layouts[res])
	if layouts[res] == "" || at < 1 || text[at-1] != ':' || !isBucket(text[at:], res) {
		return "", "", false
	}
	return text[:at-1], text[at:], true
}

// isBucket tells the form alone; whether there is such a day is for Start.
func isBucket(text string, res Resolution) bool {
	layout := layouts[res]
	if layout == "" || len(text) != len(layout) {
		return false
	}
	for i := range len(text) {
		digit := text[i] >= '0' && text[i] <= '9'
		if wanted := layout[i] >= '0' && layout[i] <= '9'; digit != wanted || !wanted && text[i] != layout[i] {
			return false
		}
	}
	return true
}
