package usage

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
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

// TestKnownKeysAreAskedOnce cuts PostgreSQL off: a known key's records go on
// without it, and so do an unknown one's, which the flush refuses.
func TestKnownKeysAreAskedOnce(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	proxy, url := faultproxy.Postgres(t, b.url)
	p := b.silent(t)
	p.Primary = &strategy.Postgres{Pool: testdb.Pool(t, url), OpTimeout: time.Minute}
	require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	stranger := sample(uuid.NewString())
	requireRefused(t, p.RecordUsage(t.Context(), stranger).Err(), result.RecordNotFound, "apiKeyId")
	proxy.Cut()
	before := proxy.Accepted()
	for range 100 {
		require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	}
	require.Equal(t, before, proxy.Accepted())
	require.NoError(t, p.RecordUsage(t.Context(), stranger).Err(), "nobody can tell")
	proxy.Pass()
	p.behind.journal.Start(p.flush)
	b.requireDrained(t)
	b.requireRequests(t, 101)
	require.EqualValues(t, 1, b.length(t, b.refused()))
}

// A key is asked for again when its time is up.
func TestKnownKeysAreForgotten(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	p := b.silent(t)
	now := time.Now()
	p.now = func() time.Time { return now }
	require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	b.exec(t, "DELETE FROM api_keys")
	now = now.Add(keysTTL - time.Second)
	require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	now = now.Add(2 * time.Second)
	require.ErrorIs(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err(), result.RecordNotFound)
	p.behind.journal.Start(p.flush)
	b.requireDrained(t)
	require.EqualValues(t, 2, b.length(t, b.refused()), "purged meanwhile")
}

// The keys in memory are bounded.
func TestKnownKeysAreBounded(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 0)
	k := newKnownKeys(b.Repo)
	for range 3 {
		ids := make([]uuid.UUID, maxKnown/2)
		for i := range ids {
			ids[i] = uuid.New()
		}
		k.add(ids, nil)
		require.LessOrEqual(t, len(k.seen), maxKnown)
		require.Empty(t, k.missing([]entry{{key: ids[0]}}))
	}
	require.Len(t, k.seen, maxKnown/2)
}
