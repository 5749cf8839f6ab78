package usage

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// TestJournalIsBounded fills the journal: who waits is told in time, or goes on
// when there is room.
func TestJournalIsBounded(t *testing.T) {
	t.Parallel()
	const limit = 50
	b := setupJournal(t, 1)
	p := b.silent(t, func(o *cache.JournalOptions) { o.Limit = limit })
	var fit atomic.Int64
	var all sync.WaitGroup
	waiting, giveUp := context.WithTimeout(t.Context(), time.Second)
	defer giveUp()
	for range 4 * limit {
		all.Go(func() {
			err := p.RecordUsage(waiting, sample(b.keys[0])).Err()
			if err == nil {
				fit.Add(1)
			} else if !errors.Is(err, result.PoolExhausted) {
				t.Errorf("not told: %v", err)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, limit, fit.Load())
	require.EqualValues(t, limit, b.length(t, b.stream()))
	ctx, cancel := context.WithCancel(t.Context())
	refused := make(chan error, 1)
	go func() { refused <- p.RecordUsage(ctx, sample(b.keys[0])).Err() }()
	require.Eventually(t, func() bool { return !p.behind.knocking.TryAcquire(maxKnocking) || release(p) }, patience, time.Microsecond)
	cancel()
	require.ErrorIs(t, <-refused, result.Cancelled)
	require.EqualValues(t, limit, b.length(t, b.stream()))

	l := startLoad(t, b.keys[0], p.Repo)
	p.behind.journal.Start(p.flush)
	l.more(20 * limit)
	l.end()
	b.requireDrained(t)
	b.requireRequests(t, limit+l.acked.Load())
}

// release gives back what a look took; it is false.
func release(p *process) bool {
	p.behind.knocking.Release(maxKnocking)
	return false
}
