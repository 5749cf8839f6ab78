package legacy

import (
	"strconv"
	"time"
)

// TimeLayout is how JavaScript prints a time, always in UTC.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// FormatTime gives "" for the zero time.
func FormatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(TimeLayout)
}

// ParseTime reads a time as the service writes it: ISO-8601, or milliseconds since
// 1970. Times before 1970 and after 9999 are none.
func ParseTime(text string) (time.Time, bool) {
	var t time.Time
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		t = time.UnixMilli(ms).UTC()
	} else if t, err = time.Parse(time.RFC3339Nano, text); err != nil {
		return time.Time{}, false
	}
	if t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, false
	}
	return t.UTC(), true
}
