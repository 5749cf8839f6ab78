package accounts

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A process' statuses are ordered, also where its clock stands or goes back.
func TestMomentsAreOrdered(t *testing.T) {
	t.Parallel()
	var m moments
	now := time.Now()
	last := m.next(now)
	require.Equal(t, now, last)
	for _, at := range []time.Time{now, now.Add(-time.Hour), now.Add(time.Microsecond), now.Add(time.Hour), now.Add(time.Minute)} {
		next := m.next(at)
		require.GreaterOrEqual(t, next.Sub(last), time.Microsecond)
		last = next
	}
}
