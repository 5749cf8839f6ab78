package cache_test

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
)

// A table's heap is bounded, whatever is put into it. Not parallel: the heap is
// the whole process's.
func TestTableMemory(t *testing.T) {
	const size, bound = 100_000, 40 << 20
	before := heap()
	table := cache.NewTable[*string](size)
	put := func(from, to int) {
		for n := from; n < to; n++ {
			key, text := cache.KeyOf(n), strconv.Itoa(n)
			table.Begin(&key).Store(&text)
		}
	}
	put(0, size)
	require.Less(t, heap()-before, int64(bound))
	require.Less(t, table.Evictions(), int64(size/100))
	put(size, 5*size)
	require.Less(t, heap()-before, int64(2*bound))
	require.Positive(t, table.Evictions())
	table.Flush()
	require.Less(t, heap()-before, int64(bound))
	runtime.KeepAlive(table)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
