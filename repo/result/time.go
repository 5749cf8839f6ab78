package result

import (
	"encoding/json"
	"time"
)

// timeLayout is how JavaScript's Date prints itself in JSON.
const timeLayout = "2006-01-02T15:04:05.000Z"

// Time marshals a time as JavaScript does, in UTC with milliseconds:
// "2025-09-16T08:00:00.000Z". Types with time.Time fields convert to it when
// they marshal.
type Time time.Time

// MarshalJSON gives the text; digits below the millisecond are cut off.
func (t Time) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Time(t).UTC().Format(timeLayout))
}

// IsZero tells whether there is no time; fields tagged omitzero are left out.
func (t Time) IsZero() bool { return time.Time(t).IsZero() }
