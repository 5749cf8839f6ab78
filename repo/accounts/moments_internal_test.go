package accounts

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A process' statuses are ordered, also where its clock stands or goes back a little. One
// that was far ahead is followed back: its moments would count for nothing.
func TestMomentsAreOrdered(t *testing.T) {
	t.Parallel()
	var m moments
	now := time.Now()
	last := m.next(now)
	require.Equal(t, now, last)
	for _, at := range []time.Time{now, now.Add(-maxSkew / 2), now.Add(time.Microsecond), now.Add(time.Hour), now.Add(time.Hour - maxSkew/2)} {
		next := m.next(at)
		require.GreaterOrEqual(t, next.Sub(last), time.Microsecond)
		last = next
	}
	require.Equal(t, now, m.next(now))
}
