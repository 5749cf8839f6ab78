package cache

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// An idle process has one record, and the meter finds it.
func TestSampleFindsALoneRecord(t *testing.T) {
	table := NewTable[int](DefaultRecords)
	key := Key{1}
	table.Begin(&key).Store(7)
	for range 8 {
		found, v := table.sample()
		require.NotNil(t, v)
		require.Equal(t, key, found)
		require.Equal(t, 7, *v)
	}
}
