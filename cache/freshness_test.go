package cache_test

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// race reads in several goroutines of some processes while write is called with
// 1, 2, … and gives what was wrong: an answer older than the floor that stood when
// the read began. Only the first process is held to the floor.
func (b *bundle) race(processes []*process, writes int, write func(n int)) (failures []string) {
	var floor, calls atomic.Int64
	var done atomic.Bool
	var running sync.WaitGroup
	var mu sync.Mutex
	for i, p := range processes {
		for range 2 {
			running.Go(func() {
				for !done.Load() {
					least := floor.Load()
					text, err := p.records.Get(b.t.Context(), &key, time.Now())
					calls.Add(1)
					got := int64(-1)
					if text != nil {
						got, _ = strconv.ParseInt(*text, 10, 64)
					}
					if err != nil || i == 0 && got < least || got < 0 {
						mu.Lock()
						failures = append(failures, fmt.Sprint(got, err, " after ", least))
						mu.Unlock()
						return
					}
				}
			})
		}
	}
	for n := 1; n <= writes; n++ {
		write(n)
		floor.Store(int64(n))
		for begun := calls.Load(); n%2 == 0 && calls.Load() < begun+10 && !done.Load(); {
			runtime.Gosched()
			mu.Lock()
			done.Store(len(failures) > 0)
			mu.Unlock()
		}
	}
	done.Store(true)
	running.Wait()
	return failures
}

// One process writes a counter that its readers, and those of another process
// that fill and lease as well, read all the time.
func TestNoReadIsOlderThanAnEviction(t *testing.T) {
	t.Parallel()
	const writes = 300
	b := setup(t)
	writer, other := b.process(), b.process()
	b.primary.secretly(key, "0")
	require.Empty(t, b.race([]*process{writer, other}, writes, func(n int) { b.write(writer, key, strconv.Itoa(n)) }))
	require.Equal(t, strconv.Itoa(writes), b.get(writer, key))
	b.becomes(func() bool { return b.get(other, key) == strconv.Itoa(writes) })
}

// The same while Redis comes and goes, and loses what it holds.
func TestNoReadIsOlderThanAnEvictionThroughOutages(t *testing.T) {
	t.Parallel()
	const writes = 120
	b := setup(t)
	writer := b.proxied()
	b.primary.secretly(key, "0")
	require.Empty(t, b.race([]*process{writer}, writes, func(n int) {
		switch n % 20 {
		case 3, 17:
			b.drop(key)
		case 5:
			b.proxy.CutOnce()
		case 10:
			b.proxy.Stall()
		case 12:
			b.proxy.Cut()
		case 15:
			b.proxy.Pass()
		}
		b.write(writer, key, strconv.Itoa(n))
	}))
	b.proxy.Pass()
	b.cached(b.fresh(writer), key, strconv.Itoa(writes))
}
