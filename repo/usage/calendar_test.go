package usage

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	moment, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return moment.UTC()
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	require.NoError(t, err)
	return loc
}

// TestCalendar has what the clocks of those nights showed, from the tz database.
func TestCalendar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, zone  string
		granularity Granularity
		start, end  string
		labels      []string
		bounds      []string // between start and end
		label       []int
		torn        []string
	}{
		{
			name: "New York sets the clock forward", zone: "America/New_York", granularity: Hour,
			start: "2025-03-09T05:00:00Z", end: "2025-03-09T08:00:00Z",
			labels: []string{"2025-03-09T00:00:00-05:00", "2025-03-09T01:00:00-05:00", "2025-03-09T03:00:00-04:00"},
			bounds: []string{"2025-03-09T06:00:00Z", "2025-03-09T07:00:00Z"}, label: []int{0, 1, 2},
		},
		{
			name: "New York sets the clock back", zone: "America/New_York", granularity: Hour,
			start: "2025-11-02T05:00:00Z", end: "2025-11-02T08:00:00Z",
			labels: []string{"2025-11-02T01:00:00-04:00", "2025-11-02T01:00:00-05:00", "2025-11-02T02:00:00-05:00"},
			bounds: []string{"2025-11-02T06:00:00Z", "2025-11-02T07:00:00Z"}, label: []int{0, 1, 2},
		},
		{
			name: "New York's day of 25 hours", zone: "America/New_York", granularity: Day,
			start: "2025-11-02T04:00:00Z", end: "2025-11-04T05:00:00Z",
			labels: []string{"2025-11-02", "2025-11-03"}, bounds: []string{"2025-11-03T05:00:00Z"}, label: []int{0, 1},
		},
		{
			name: "Lord Howe sets the clock back half an hour", zone: "Australia/Lord_Howe", granularity: Hour,
			start: "2025-04-05T14:00:00Z", end: "2025-04-05T16:30:00Z",
			labels: []string{"2025-04-06T01:00:00+11:00", "2025-04-06T01:00:00+10:30", "2025-04-06T02:00:00+10:30"},
			bounds: []string{"2025-04-05T15:00:00Z", "2025-04-05T15:30:00Z"}, label: []int{0, 1, 2},
		},
		{
			name: "Lord Howe sets the clock forward half an hour", zone: "Australia/Lord_Howe", granularity: Hour,
			start: "2025-10-04T14:30:00Z", end: "2025-10-04T17:00:00Z",
			labels: []string{"2025-10-05T01:00:00+10:30", "2025-10-05T02:00:00+11:00", "2025-10-05T03:00:00+11:00"},
			bounds: []string{"2025-10-04T15:30:00Z", "2025-10-04T16:00:00Z"}, label: []int{0, 1, 2},
		},
		{
			name: "Apia leaves out a day", zone: "Pacific/Apia", granularity: Day,
			start: "2011-12-29T10:00:00Z", end: "2012-01-01T10:00:00Z",
			labels: []string{"2011-12-29", "2011-12-31", "2012-01-01"},
			bounds: []string{"2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"}, label: []int{0, 1, 2},
		},
		{
			name: "St. John's goes back over midnight at 00:01", zone: "America/St_Johns", granularity: Day,
			start: "2010-11-06T02:30:00Z", end: "2010-11-08T03:30:00Z",
			labels: []string{"2010-11-06", "2010-11-07"},
			bounds: []string{"2010-11-07T02:30:00Z", "2010-11-07T02:31:00Z", "2010-11-07T03:30:00Z"}, label: []int{0, 1, 0, 1},
			torn: []string{"2010-11-07T02:30:00Z"},
		},
		{
			name: "St. John's hours of that night", zone: "America/St_Johns", granularity: Hour,
			start: "2010-11-07T01:30:00Z", end: "2010-11-07T04:30:00Z",
			labels: []string{
				"2010-11-06T23:00:00-02:30", "2010-11-07T00:00:00-02:30", "2010-11-06T23:00:00-03:30", "2010-11-07T00:00:00-03:30",
			},
			bounds: []string{"2010-11-07T02:30:00Z", "2010-11-07T02:31:00Z", "2010-11-07T03:30:00Z"}, label: []int{0, 1, 2, 3},
			torn: []string{"2010-11-07T02:30:00Z"},
		},
		{
			name: "St. John's goes back over the turn of a month", zone: "America/St_Johns", granularity: Month,
			start: "2009-10-01T02:30:00Z", end: "2009-12-01T03:30:00Z",
			labels: []string{"2009-10", "2009-11"},
			bounds: []string{"2009-11-01T02:30:00Z", "2009-11-01T02:31:00Z", "2009-11-01T03:30:00Z"}, label: []int{0, 1, 0, 1},
			torn: []string{"2009-11-01T02:30:00Z"},
		},
		{
			name: "Kathmandu is 5:45 ahead", zone: "Asia/Kathmandu", granularity: Hour,
			start: "2025-06-30T18:00:00Z", end: "2025-06-30T19:20:00Z",
			labels: []string{"2025-06-30T23:00:00+05:45", "2025-07-01T00:00:00+05:45", "2025-07-01T01:00:00+05:45"},
			bounds: []string{"2025-06-30T18:15:00Z", "2025-06-30T19:15:00Z"}, label: []int{0, 1, 2},
			torn: []string{"2025-06-30T19:15:00Z"},
		},
		{
			name: "one cell with two cuts", zone: "UTC", granularity: Hour,
			start: "2025-06-30T18:01:00Z", end: "2025-06-30T18:02:00Z",
			labels: []string{"2025-06-30T18:00:00Z"}, label: []int{0}, torn: []string{"2025-06-30T18:00:00Z"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := newCalendar(at(t, c.start), at(t, c.end), zone(t, c.zone), c.granularity)
			require.NoError(t, err)
			require.Equal(t, c.labels, got.labels)
			require.Equal(t, c.label, got.label)
			require.Equal(t, times(t, append(append([]string{c.start}, c.bounds...), c.end)), got.bounds)
			require.Equal(t, times(t, c.torn), got.torn())
		})
	}
}

func times(t *testing.T, texts []string) []time.Time {
	t.Helper()
	out := []time.Time{}
	for _, text := range texts {
		out = append(out, at(t, text))
	}
	return out
}

func TestCalendarIsBounded(t *testing.T) {
	t.Parallel()
	start := at(t, "2020-01-01T00:00:00Z")
	full, err := newCalendar(start, start.Add(maxBuckets*time.Hour), time.UTC, Hour)
	require.NoError(t, err)
	require.Len(t, full.labels, 10_000)
	_, err = newCalendar(start, start.Add(maxBuckets*time.Hour+time.Microsecond), time.UTC, Hour)
	requireRefused(t, err, result.InvalidQuery, "granularity")
	_, err = newCalendar(at(t, "0001-01-01T00:00:00Z"), at(t, "9999-12-31T00:00:00Z"), zone(t, "Africa/Casablanca"), Month)
	requireRefused(t, err, result.InvalidQuery, "granularity")
}
