package usage

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestDeletedKeyTakesUsage(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.exec(t, "UPDATE api_keys SET deleted_at = now()")
	require.NoError(t, b.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	s, err := b.GetUsageStats(t.Context(), StatsQuery{
		APIKeyID: b.keys[0], StartDate: time.Now().Add(-time.Hour), EndDate: time.Now().Add(time.Hour),
		Granularity: Month, GroupBy: ByAPIKey,
	}).Get()
	require.NoError(t, err)
	require.Equal(t, "key 0", s.Stats[0].APIKeys[b.keys[0]].Name, "a deleted key keeps its name")
}

func TestUnknownKeyWritesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	r := sample(uuid.NewString())
	requireRefused(t, b.RecordUsage(t.Context(), r).Err(), result.RecordNotFound, "apiKeyId")
	requireRefused(t, b.RecordKeyUsage(t.Context(), r).Err(), result.RecordNotFound, "keyId")
	r.RequestID = "req"
	requireRefused(t, b.RecordUsage(t.Context(), r).Err(), result.RecordNotFound, "apiKeyId")
	b.requireUntouched(t)
}

// TestBatchTakesOutOnlyTheUnknown puts a record of an unknown key among others.
func TestBatchTakesOutOnlyTheUnknown(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	var entries []entry
	for _, key := range []string{b.keys[0], uuid.NewString(), b.keys[0]} {
		r := sample(key)
		r.RequestID = uuid.NewString()
		entries = append(entries, checked(t, r))
	}
	for i, w := range b.writer.write(t.Context(), entries) {
		require.Equal(t, outcome{unknown: i == 1}, w.outcome)
	}
	require.EqualValues(t, 2, b.count(t, "SELECT count(*) FROM usage_requests"))
	b.requireRequests(t, 2)
}

func checked(t *testing.T, r Record) entry {
	t.Helper()
	e, err := r.check("apiKeyId", time.Now())
	require.NoError(t, err)
	return e
}

// TestLostAcknowledgement appends an entry again, as the retry does that never
// heard of the first commit.
func TestLostAcknowledgement(t *testing.T) {
	t.Parallel()
	for _, requestID := range []string{"", "req"} {
		b := setup(t, 1)
		r := sample(b.keys[0])
		r.RequestID = requestID
		e := checked(t, r)
		for try := range 3 {
			outcomes, err := b.append(t.Context(), queued(e), blockedAfter)
			require.NoError(t, err)
			require.Equal(t, []outcome{{}}, outcomes, "try %d: its own record is no duplicate", try)
			b.requireRequests(t, 1)
		}
		require.EqualValues(t, 1, b.count(t, "SELECT count(*) FROM usage_records"))
	}
}

// TestRepeatWaitsForTheFirstTry repeats while the first try, whose connection
// broke, has not committed yet: the repeat's snapshot does not show it.
func TestRepeatWaitsForTheFirstTry(t *testing.T) {
	t.Parallel()
	for _, requestID := range []string{"", "req"} {
		b := setup(t, 1)
		r := sample(b.keys[0])
		r.RequestID = requestID
		e := checked(t, r)
		require.NoError(t, b.months.ensure(t.Context(), b.pool, e.Timestamp))
		first, err := b.pool.Begin(t.Context())
		require.NoError(t, err)
		defer first.Rollback(context.Background()) //nolint:errcheck // committed below
		outcomes, err := b.insert(t.Context(), first, queued(e), 0, false, "")
		require.NoError(t, err)
		require.Equal(t, []outcome{{}}, outcomes)

		done := make(chan struct{})
		go func() {
			defer close(done)
			outcomes, err = b.insert(t.Context(), b.pool, queued(e), 0, true, "")
		}()
		require.Eventually(t, func() bool {
			return b.count(t, `SELECT count(*) FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
		}, time.Minute, time.Millisecond)
		require.NoError(t, first.Commit(t.Context()))
		<-done
		require.NoError(t, err)
		require.Equal(t, []outcome{{}}, outcomes, "its own record is no duplicate")
		b.requireRequests(t, 1)
	}
}

func TestCancelledBeforeTheWrite(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.RecordUsage(ctx, sample(b.keys[0])).Err(), result.Cancelled)
	b.requireUntouched(t)
}
