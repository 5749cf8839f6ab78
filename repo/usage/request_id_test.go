package usage

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// requireRequests tells how many requests are counted, pending and compacted.
func (b *bundle) requireRequests(t *testing.T, want int64) {
	t.Helper()
	require.Equal(t, want, total(t, b.Repo, StatsQuery{}).TotalRequests)
	require.NoError(t, b.compact(t.Context()))
	require.Equal(t, want, total(t, b.Repo, StatsQuery{}).TotalRequests)
}

func TestSameRequestIDCountsOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, 2)
	r := sample(b.keys[0])
	r.RequestID = "req"
	first := b.RecordUsage(t.Context(), r)
	require.NoError(t, first.Err())
	require.False(t, first.Duplicate)
	again := func() {
		t.Helper()
		s := b.RecordUsage(t.Context(), r)
		require.NoError(t, s.Err())
		require.True(t, s.Duplicate)
	}
	again()
	b.requireRequests(t, 1)
	again()
	r.Cost, r.Model, r.Timestamp = result.MustMoney("5"), "other", firstTime // the first one stands
	again()
	b.requireRequests(t, 1)
	require.Equal(t, "0.001", total(t, b.Repo, StatsQuery{}).TotalCost.String())

	r.APIKeyID = b.keys[1]
	other := b.RecordUsage(t.Context(), r)
	require.NoError(t, other.Err())
	require.False(t, other.Duplicate, "another key's request")
	b.requireRequests(t, 2)
}

func TestKeyUsageSharesRequestIDs(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	r := sample(b.keys[0])
	r.RequestID = "req"
	require.NoError(t, b.RecordUsage(t.Context(), r).Err())
	r.AccountType = ""
	s := b.RecordKeyUsage(t.Context(), r)
	require.NoError(t, s.Err())
	require.True(t, s.Duplicate)
	b.requireRequests(t, 1)
}

func TestWithoutRequestIDEachCallCounts(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	r := sample(b.keys[0])
	r.Timestamp = time.Now()
	for range 2 {
		s := b.RecordUsage(t.Context(), r)
		require.NoError(t, s.Err())
		require.False(t, s.Duplicate)
	}
	b.requireRequests(t, 2)
}

// TestSameRequestIDAtOnce gives one requestId in many goroutines of two
// processes, while the compactors of both run.
func TestSameRequestIDAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	repos := []*Repo{open(t, b.url), open(t, b.url)}
	const rounds, callers = 10, 32
	for range rounds {
		r := sample(b.keys[0])
		r.RequestID = uuid.NewString()
		var firsts atomic.Int64
		var wg sync.WaitGroup
		errs := make([]error, callers)
		for i := range callers {
			wg.Go(func() {
				s := repos[i%len(repos)].RecordUsage(t.Context(), r)
				if errs[i] = s.Err(); !s.Duplicate {
					firsts.Add(1)
				}
			})
		}
		wg.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		require.EqualValues(t, 1, firsts.Load())
	}
	b.requireRequests(t, rounds)
	require.EqualValues(t, rounds, b.count(t, "SELECT count(*) FROM usage_records"))
}

func TestRequestIDsAreForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	r := sample(b.keys[0])
	for _, id := range []string{"old", "young"} {
		r.RequestID = id
		require.NoError(t, b.RecordUsage(t.Context(), r).Err())
	}
	key := uuid.MustParse(b.keys[0])
	for id, days := range map[string]int{"old": 36, "young": 35} {
		b.exec(t, "UPDATE usage_requests SET recorded_on = (now() AT TIME ZONE 'UTC')::date - $2::int WHERE request_hash = $1",
			requestHash(key, id), days)
	}
	require.NoError(t, b.trimRequests(t.Context()))
	require.EqualValues(t, 1, b.count(t, "SELECT count(*) FROM usage_requests"))
	for id, duplicate := range map[string]bool{"old": false, "young": true} {
		r.RequestID = id
		s := b.RecordUsage(t.Context(), r)
		require.NoError(t, s.Err())
		require.Equal(t, duplicate, s.Duplicate, id)
	}
}
