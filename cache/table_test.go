package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func keyOf(n int) Key {
	return sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

func put(t *Table[int], n, value int) bool {
	k := keyOf(n)
	return t.Begin(&k).Store(value)
}

func look(t *Table[int], n int) (int, bool) {
	k := keyOf(n)
	if v := t.Get(&k); v != nil {
		return *v, true
	}
	return 0, false
}

func TestTableKeepsItsSize(t *testing.T) {
	t.Parallel()
	const size = 10_000
	table := NewTable[int](size)
	for n := range size {
		require.True(t, put(table, n, n))
	}
	kept := 0
	for n := range size {
		if v, ok := look(table, n); ok {
			require.Equal(t, n, v)
			kept++
		}
	}
	require.Equal(t, int64(size-kept), table.Evictions())
	require.Greater(t, kept, size*99/100)
}

func TestTableEvictsTheUnusedFirst(t *testing.T) {
	t.Parallel()
	table := NewTable[int](1) // one bucket of six
	for n := range slotsPerBucket {
		put(table, n, n)
	}
	for n := range slotsPerBucket - 1 {
		look(table, n)
	}
	put(table, 100, 100)
	_, kept := look(table, slotsPerBucket-1)
	require.False(t, kept, "the one that was not used")
	for n := range slotsPerBucket - 1 {
		_, kept := look(table, n)
		require.True(t, kept)
	}
	put(table, 101, 101) // every one is used: one goes all the same
	_, kept = look(table, 101)
	require.True(t, kept)
	require.EqualValues(t, 2, table.Evictions())
}

// A table against a map, with fills whose tickets are older than invalidations
// and flushes.
func TestTableEqualsModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		table := NewTable[int](rapid.SampledFrom([]int{1, 1000}).Draw(rt, "size"))
		model, aside := map[int]int{}, map[int]int{}
		type fill struct {
			n     int
			token Ticket[int]
			void  bool
		}
		var fills []*fill
		void := func(n int) {
			for _, f := range fills {
				f.void = f.void || n < 0 || f.n == n
			}
		}
		small := rapid.IntRange(0, 20)
		rt.Repeat(map[string]func(*rapid.T){
			"begin": func(rt *rapid.T) {
				n := small.Draw(rt, "n")
				k := keyOf(n)
				fills = append(fills, &fill{n: n, token: table.Begin(&k)})
			},
			"store": func(rt *rapid.T) {
				if len(fills) == 0 {
					return
				}
				i := rapid.IntRange(0, len(fills)-1).Draw(rt, "i")
				value := rapid.Int().Draw(rt, "value")
				stored := fills[i].token.Store(value)
				if stored && !fills[i].void {
					model[fills[i].n] = value
				}
				if fills[i].void {
					v, ok := look(table, fills[i].n)
					require.False(rt, ok && v == value && model[fills[i].n] != value, "a void fill shows")
				}
				fills = append(fills[:i], fills[i+1:]...)
			},
			"invalidate": func(rt *rapid.T) {
				n := small.Draw(rt, "n")
				k := keyOf(n)
				table.Invalidate(&k)
				delete(model, n)
				delete(aside, n)
				void(n)
			},
			"flush": func(*rapid.T) {
				table.Flush()
				clear(model)
				void(-1)
			},
			"set aside": func(*rapid.T) {
				table.SetAside()
				aside = maps.Clone(model)
				clear(model)
				void(-1)
			},
			"": func(rt *rapid.T) {
				for n := range 21 {
					k := keyOf(n)
					if v := table.Aside(&k); v != nil {
						want, known := aside[n]
						require.True(rt, known)
						require.Equal(rt, want, *v)
					}
					if v, ok := look(table, n); ok { // it may have been evicted, never be another
						want, known := model[n]
						require.True(rt, known)
						require.Equal(rt, want, v)
					}
				}
			},
		})
	})
}

// A writer counts a source up and invalidates; fillers read the source and store.
// Nobody who looks after an invalidation has returned finds an older value.
func TestTableNeverGoesBack(t *testing.T) {
	t.Parallel()
	table := NewTable[int64](10)
	key := keyOf(1)
	var source, acknowledged, stale atomic.Int64
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				least := acknowledged.Load()
				if v := table.Aside(&key); v != nil && *v < least {
					stale.Add(1)
				}
				if v := table.Get(&key); v != nil {
					if *v < least {
						stale.Add(1)
					}
					continue
				}
				ticket := table.Begin(&key)
				ticket.Store(source.Load())
			}
		})
	}
	for n := int64(1); n <= 100_000; n++ {
		source.Store(n)
		if n%1000 == 0 {
			table.SetAside()
		}
		table.Invalidate(&key)
		acknowledged.Store(n)
	}
	close(stop)
	group.Wait()
	require.Zero(t, stale.Load())
}
