package usage

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// A record is acknowledged before it is in the ledger, stats say so, and it
// counts once flushed.
func TestJournalThenLedger(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	p := b.silent(t)
	all := StatsQuery{StartDate: firstTime, EndDate: time.Now().Add(time.Hour), Granularity: Month}
	unflushed := func() int64 {
		s, err := p.GetUsageStats(t.Context(), all).Get()
		require.NoError(t, err)
		return s.OldestUnflushedMs
	}
	require.Zero(t, unflushed())
	r := sample(b.keys[0])
	r.RequestID = "req"
	for range 2 {
		s := p.RecordUsage(t.Context(), r)
		require.NoError(t, s.Err())
		require.False(t, s.Duplicate)
	}
	require.Zero(t, total(t, b.Repo, StatsQuery{}).TotalRequests)
	require.Positive(t, unflushed())
	require.EqualValues(t, 2, b.length(t, b.stream()))
	p.behind.journal.Start(p.flush)
	b.requireDrained(t)
	require.Zero(t, unflushed())
	b.requireRequests(t, 1)
	require.Zero(t, b.length(t, b.refused()))
}

// The age is counted by the clock of Redis and grows.
func TestOldestUnflushedGrows(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	p := b.silent(t)
	require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	last := int64(0)
	require.Eventually(t, func() bool {
		now := p.oldestUnflushed(t.Context())
		require.True(t, now == -1 || now >= last, "%d, then %d", last, now)
		last = max(last, now)
		return last > 50
	}, patience, time.Millisecond)
}

// Figures that lack a record say so, also where it is flushed while they are read:
// the sums are read, the horizon is not yet.
func TestUnflushedIsAskedFirst(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	p := b.silent(t)
	require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	require.Eventually(t, func() bool { return p.oldestUnflushed(t.Context()) > 0 }, patience, time.Millisecond)
	lock, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = lock.Exec(t.Context(), "LOCK TABLE usage_horizon")
	require.NoError(t, err)
	answer := make(chan Stats, 1)
	go func() {
		s, _ := p.GetUsageStats(t.Context(), StatsQuery{StartDate: firstTime, EndDate: time.Now().Add(time.Hour), Granularity: Month}).Get()
		answer <- s
	}()
	require.Eventually(t, func() bool {
		return b.count(t, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'usage_horizon'::regclass") == 1
	}, patience, time.Millisecond)
	p.behind.journal.Start(p.flush)
	b.requireDrained(t)
	require.NoError(t, lock.Rollback(t.Context()))
	s := <-answer
	require.Zero(t, s.Summary.TotalRequests)
	require.NotZero(t, s.OldestUnflushedMs)
}

// A record is written through while a consumer flushes it, in a batch that fails
// at first for another one's unknown key: it is no duplicate of its own.
func TestFallbackMeetsTheFlush(t *testing.T) {
	t.Parallel()
	for _, requestID := range []string{"", "own"} {
		b := setup(t, 1)
		r := sample(b.keys[0])
		r.RequestID = requestID
		e := checked(t, r)
		require.NoError(t, b.months.ensure(t.Context(), b.pool, e.Timestamp))
		flushing, err := b.pool.Begin(t.Context())
		require.NoError(t, err)
		defer flushing.Rollback(context.Background()) //nolint:errcheck // committed below
		_, err = b.insert(t.Context(), flushing, queued(e), 0, false, "")
		require.NoError(t, err)
		batch := queued(checked(t, sample(uuid.NewString())), e)
		for _, w := range batch {
			w.unsure = true
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.commitAll(b.writer, batch)
			<-batch[0].left.none
		}()
		require.Eventually(t, func() bool {
			return b.count(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
		}, patience, time.Millisecond)
		require.NoError(t, flushing.Commit(t.Context()))
		<-done
		require.Equal(t, outcome{unknown: true}, batch[0].outcome)
		require.Equal(t, outcome{}, batch[1].outcome)
		b.requireRequests(t, 1)
	}
}

func TestJournalRefusesAtOnce(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	p := b.silent(t)
	for range 2 {
		r := sample(uuid.NewString())
		requireRefused(t, p.RecordUsage(t.Context(), r).Err(), result.RecordNotFound, "apiKeyId")
		requireRefused(t, p.RecordKeyUsage(t.Context(), r).Err(), result.RecordNotFound, "keyId")
		r = sample(b.keys[0])
		r.InputTokens = -1
		requireRefused(t, p.RecordUsage(t.Context(), r).Err(), result.InvalidQuery, "inputTokens")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, p.RecordUsage(ctx, sample(b.keys[0])).Err(), result.Cancelled)
	require.Zero(t, b.length(t, b.stream()))
	b.requireUntouched(t)
}

// A batch with an unknown key among others loses only that one.
func TestJournalTakesOutOnlyTheUnknown(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	p := b.process(t)
	var entries []entry
	for _, key := range []string{b.keys[0], uuid.NewString(), b.keys[0]} {
		entries = append(entries, checked(t, sample(key)))
	}
	for i, w := range p.write(t.Context(), entries) {
		require.Equal(t, entries[i].id, w.id)
		require.Equal(t, outcome{unknown: i == 1}, w.outcome)
	}
	b.requireDrained(t)
	b.requireRequests(t, 2)
}
