package usage

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

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
