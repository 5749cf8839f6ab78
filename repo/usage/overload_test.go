package usage

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/semaphore"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// stall keeps every record from being written until release.
func (b *bundle) stall(t *testing.T) (release func()) {
	t.Helper()
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE usage_records IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	var once sync.Once
	release = func() { once.Do(func() { require.NoError(t, tx.Rollback(context.Background())) }) }
	t.Cleanup(release)
	return release
}

// inBackground records n samples, each by a call of its own.
func (b *bundle) inBackground(ctx context.Context, n int) (errs []error, wait func()) {
	errs = make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = b.RecordUsage(ctx, sample(b.keys[0])).Err() })
	}
	return errs, wg.Wait
}

// waitFor waits until the writer has so many lanes at work and records queued.
func (b *bundle) waitFor(t *testing.T, running, queued int) {
	t.Helper()
	require.Eventually(t, func() bool {
		b.writer.mu.Lock()
		defer b.writer.mu.Unlock()
		return b.writer.running == running && len(b.writer.queue) == queued
	}, time.Minute, time.Millisecond)
}

// fillLanes gives every lane a record that stands still.
func (b *bundle) fillLanes(t *testing.T) (errs []error, wait func()) {
	t.Helper()
	errs = make([]error, lanes)
	var wg sync.WaitGroup
	for i := range lanes {
		wg.Go(func() { errs[i] = b.RecordUsage(t.Context(), sample(b.keys[0])).Err() })
		b.waitFor(t, i+1, 0)
	}
	return errs, wg.Wait
}

// TestOverload has room for as many records as the lanes hold and three more.
func TestOverload(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.writer.room = semaphore.NewWeighted(lanes + 3)
	release := b.stall(t)
	started, waitStarted := b.fillLanes(t)
	queued, waitQueued := b.inBackground(t.Context(), 3)
	b.waitFor(t, lanes, 3)

	passed, cancel := context.WithDeadline(t.Context(), time.Now().Add(time.Millisecond))
	defer cancel()
	require.ErrorIs(t, b.RecordUsage(passed, sample(b.keys[0])).Err(), result.PoolExhausted, "no room")
	cancelled, cancel := context.WithCancel(t.Context())
	late, waitLate := b.inBackground(cancelled, 1)
	cancel()
	waitLate()
	require.ErrorIs(t, late[0], result.Cancelled)

	release()
	waitStarted()
	waitQueued()
	for _, err := range append(started, queued...) {
		require.NoError(t, err)
	}
	b.requireRequests(t, lanes+3)
}

// TestGivenUpInTheQueue ends the deadline of a record that has room and no lane:
// it is not written later.
func TestGivenUpInTheQueue(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	release := b.stall(t)
	_, waitStarted := b.fillLanes(t)
	passed, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, b.RecordUsage(passed, sample(b.keys[0])).Err(), result.PoolExhausted)
	cancelled, cancel := context.WithCancel(t.Context())
	errs, wait := b.inBackground(cancelled, 1)
	b.waitFor(t, lanes, 2) // both still stand there
	cancel()
	wait()
	require.ErrorIs(t, errs[0], result.Cancelled)
	release()
	waitStarted()
	b.requireRequests(t, lanes)
}

// TestBoundWithoutADeadline gives up calls that have no deadline of their own, one for
// want of room and one that has it and no lane.
func TestBoundWithoutADeadline(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}, lanes), make(chan struct{})
	w := newWriter(20*time.Millisecond, func(batch []*waiting) {
		entered <- struct{}{}
		<-release
		for _, p := range batch {
			p.finish(outcome{})
		}
	})
	w.room = semaphore.NewWeighted(lanes + 1)
	errs := make([]error, lanes)
	var inLanes sync.WaitGroup
	for i := range lanes {
		inLanes.Go(func() { errs[i] = w.write(t.Context(), make([]entry, 1))[0].outcome.err })
		<-entered
	}
	require.ErrorIs(t, w.write(t.Context(), make([]entry, 2))[1].outcome.err, result.PoolExhausted, "no room")
	require.ErrorIs(t, w.write(t.Context(), make([]entry, 1))[0].outcome.err, result.PoolExhausted, "no lane")
	close(release)
	inLanes.Wait()
	require.NoError(t, errors.Join(errs...))
	require.NoError(t, w.close(t.Context()))
}

// TestStartedIsWaitedFor cancels a call whose record is on its way: it tells the
// truth.
func TestStartedIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	release := b.stall(t)
	ctx, cancel := context.WithCancel(t.Context())
	errs, wait := b.inBackground(ctx, 1)
	b.waitFor(t, 1, 0)
	b.waitForLock(t)
	cancel()
	release()
	wait()
	require.NoError(t, errs[0])
	b.requireRequests(t, 1)
}

// waitForLock waits until a statement on the database waits for a lock.
func (b *bundle) waitForLock(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), b.url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	require.Eventually(t, func() bool {
		var n int
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n))
		return n > 0
	}, time.Minute, time.Millisecond)
}

// TestCloseDrains closes while calls come in: what was acknowledged is stored, and
// nothing else is.
func TestCloseDrains(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	r := open(t, b.url)
	const callers = 64
	acknowledged := make([]int64, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for {
				err := r.RecordUsage(t.Context(), sample(b.keys[0])).Err()
				if err != nil {
					require.ErrorIs(t, err, result.ConnectionFailed)
					return
				}
				acknowledged[i]++
			}
		})
	}
	require.Eventually(t, func() bool { return b.count(t, "SELECT count(*) FROM usage_records") > 500 }, time.Minute, time.Millisecond)
	require.NoError(t, r.Close(t.Context()))
	wg.Wait()
	sum := int64(0)
	for _, n := range acknowledged {
		sum += n
	}
	b.requireRequests(t, sum)
}

// TestCloseReportsTheRest closes with a deadline that passes.
func TestCloseReportsTheRest(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	release := b.stall(t)
	started, waitStarted := b.fillLanes(t)
	queued, waitQueued := b.inBackground(t.Context(), 5)
	b.waitFor(t, lanes, 5)
	passed, cancel := context.WithCancel(t.Context())
	cancel()
	err := b.Close(passed)
	require.ErrorIs(t, err, result.QueryTimeout)
	require.Equal(t, 5, result.From(err).Details["remaining"])
	waitQueued()
	for _, err := range queued {
		require.ErrorIs(t, err, result.ConnectionFailed)
	}
	release()
	waitStarted()
	for _, err := range started {
		require.NoError(t, err, "what has been started is written")
	}
	require.EqualValues(t, lanes, b.count(t, "SELECT count(*) FROM usage_records"))
}
