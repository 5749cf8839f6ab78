package cache_test

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
)

// One process writes a counter while its readers, and those of another process
// that fill and lease as well, read it. What a reader of the writer's process
// gets is never older than what was written before it began.
func TestNoReadIsOlderThanAnEviction(t *testing.T) {
	t.Parallel()
	const writes, readers = 400, 2
	b := setup(t)
	writer, other := b.process(), b.process()
	p := newPrimary("0")
	var evicted, calls atomic.Int64
	var done atomic.Bool
	var running sync.WaitGroup
	defer running.Wait()
	defer done.Store(true)
	failures := make(chan string, 2*readers)
	read := func(c *cache.Cache, strict bool) {
		for !done.Load() {
			floor := evicted.Load()
			calls.Add(1)
			record, err := c.Get(t.Context(), "k", p.load)
			got, parseErr := strconv.ParseInt(string(record), 10, 64)
			if err != nil || parseErr != nil || strict && got < floor {
				failures <- fmt.Sprintf("%q, %v after %d", record, err, floor)
				return
			}
		}
	}
	for range readers {
		running.Go(func() { read(writer, true) })
		running.Go(func() { read(other, false) })
	}
	for i := range int64(writes) {
		p.value.Store(strconv.FormatInt(i+1, 10))
		writer.Evict(t.Context(), "k")
		evicted.Store(i + 1)
		for begun := calls.Load(); i%2 == 0 && calls.Load() < begun+10 && len(failures) == 0; {
			runtime.Gosched()
		}
	}
	b.becomes(func() bool { return b.get(other, "k", p) == strconv.Itoa(writes) })
	done.Store(true)
	running.Wait()
	require.Empty(t, failures)
	require.Equal(t, strconv.Itoa(writes), b.get(writer, "k", p))
}

// The same while Redis comes and goes.
func TestNoReadIsOlderThanAnEvictionThroughOutages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writer, _ := b.proxied()
	p := newPrimary("0")
	var evicted, calls atomic.Int64
	var done atomic.Bool
	var running sync.WaitGroup
	defer running.Wait()
	defer done.Store(true)
	failures := make(chan string, 4)
	for range 4 {
		running.Go(func() {
			for !done.Load() {
				floor := evicted.Load()
				calls.Add(1)
				record, err := writer.Get(t.Context(), "k", p.load)
				if got, _ := strconv.ParseInt(string(record), 10, 64); err != nil || got < floor {
					failures <- fmt.Sprintf("%q, %v after %d", record, err, floor)
					return
				}
			}
		})
	}
	for i := range int64(60) {
		switch i % 20 {
		case 5:
			b.proxy.CutOnce()
		case 10:
			b.proxy.Stall()
		case 12:
			b.proxy.Cut()
		case 15:
			b.proxy.Pass()
		}
		p.value.Store(strconv.FormatInt(i+1, 10))
		writer.Evict(t.Context(), "k")
		evicted.Store(i + 1)
		begun := calls.Load()
		b.becomes(func() bool { return calls.Load() > begun+10 || len(failures) > 0 })
	}
	done.Store(true)
	running.Wait()
	require.Empty(t, failures)
}
