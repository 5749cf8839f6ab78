package usage

import (
	"archive/zip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRollupsFitEveryZone holds the tz database against the width of a cell: in
// no zone does an hour, and so a day or a month, begin inside a cell, but for
// nights at which the clock is set inside one. Those cells are torn.
func TestRollupsFitEveryZone(t *testing.T) {
	t.Parallel()
	odd := make(map[string]bool)
	end := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, name := range zoneNames(t) {
		loc := zone(t, name)
		for moment := firstTime; moment.Before(end); {
			_, offset := moment.In(loc).Zone()
			require.Zero(t, offset%int(cell/time.Second), "%s at %s", name, moment)
			_, set := moment.In(loc).ZoneBounds()
			if set.IsZero() || !set.Before(end) {
				break
			}
			if !set.Truncate(cell).Equal(set) {
				requireTorn(t, name, loc, set)
				odd[name] = true
			}
			moment = set
		}
	}
	require.True(t, odd["America/St_Johns"], "the one that the design knows")
}

// requireTorn tells that each granularity whose label changes inside a cell when
// the clock is set has that cell torn.
func requireTorn(t *testing.T, name string, loc *time.Location, set time.Time) {
	t.Helper()
	for _, g := range []Granularity{Hour, Day, Month} {
		if labelAt(set.Add(-time.Second), loc, g) == labelAt(set, loc, g) {
			continue
		}
		c, err := newCalendar(set.Truncate(cell), set.Truncate(cell).Add(cell), loc, g)
		require.NoError(t, err)
		require.Contains(t, c.bounds, set.UTC(), name)
		require.Equal(t, []time.Time{set.UTC().Truncate(cell)}, c.torn(), name)
	}
}

// zoneNames lists what is in Go's own copy of the tz database, or in the system's.
func zoneNames(t *testing.T) (names []string) {
	t.Helper()
	own := filepath.Join(runtime.GOROOT(), "lib/time/zoneinfo.zip") //nolint:staticcheck // the tests run where Go is
	if archive, err := zip.OpenReader(own); err == nil {
		defer archive.Close()
		for _, f := range archive.File {
			if !strings.HasSuffix(f.Name, "/") {
				names = append(names, f.Name)
			}
		}
		require.Greater(t, len(names), 400)
		return names
	}
	const system = "/usr/share/zoneinfo"
	require.NoError(t, filepath.WalkDir(system, func(path string, d os.DirEntry, err error) error {
		name := strings.TrimPrefix(path, system+"/")
		if err == nil && d.Type().IsRegular() && strings.ToUpper(name[:1]) == name[:1] {
			if _, err := time.LoadLocation(name); err == nil {
				names = append(names, name)
			}
		}
		return err
	}))
	require.Greater(t, len(names), 400)
	return names
}
