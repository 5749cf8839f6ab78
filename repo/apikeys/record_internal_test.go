package apikeys

import (
	"testing"
	"time"
	"unsafe"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// With its key and mark in the cache's table.
func TestARecordFillsTwoLines(t *testing.T) {
	t.Parallel()
	const line, keyAndMark = 64, 32 + 8
	require.LessOrEqual(t, keyAndMark+unsafe.Sizeof(record{}), uintptr(2*line))
}

func TestEnds(t *testing.T) {
	t.Parallel()
	soon := time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC)
	later := time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC) // no int64 of nanoseconds holds it
	for name, c := range map[string]struct {
		known  known
		active map[time.Time]bool
		waits  bool
	}{
		"without": {known{IsActive: true}, map[time.Time]bool{soon: true, soon.AddDate(200, 0, 0): true}, false},
		"soon":    {known{IsActive: true, ExpiresAt: soon}, map[time.Time]bool{soon.Add(-1): true, soon: false}, false},
		"later":   {known{IsActive: true, ExpiresAt: later}, map[time.Time]bool{soon: true, soon.AddDate(200, 0, 0): true}, false},
		"off":     {known{ExpiresAt: soon}, map[time.Time]bool{soon.Add(-1): false}, false},
		"waiting": {known{IsActive: true, Activates: true}, map[time.Time]bool{soon: false}, true},
		"neither": {known{Activates: true}, map[time.Time]bool{soon: false}, false},
	} {
		c.known.ID, c.known.Permissions, c.known.Requests = uuid.New(), "all", 3
		r := newRecord(c.known)
		require.Equal(t, c.waits, r.waits(), name)
		for at, active := range c.active {
			require.Equal(t, active, r.activeAt(at.UnixNano()), name)
			var v Validation
			r.answer(&v, active)
			require.Equal(t, Validation{
				ID: c.known.ID.String(), Permissions: "all", IsActive: active, ExpiresAt: c.known.ExpiresAt, RateLimits: RateLimits{Requests: 3},
			}, v, name)
		}
	}
}
