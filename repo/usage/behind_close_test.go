package usage

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// fill acknowledges n records.
func (p *process) fill(t *testing.T, key string, n int) {
	t.Helper()
	entries := make([]entry, n)
	for i := range entries {
		entries[i] = checked(t, sample(key))
	}
	for _, w := range p.write(t.Context(), entries) {
		require.NoError(t, w.outcome.err)
	}
}

// Close flushes what others have left, too, and takes no more.
func TestCloseDrainsTheJournal(t *testing.T) {
	t.Parallel()
	for name, ctx := range map[string]func() (context.Context, context.CancelFunc){
		"deadline": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), time.Minute)
		},
		"no deadline": func() (context.Context, context.CancelFunc) { return context.WithCancel(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupJournal(t, 1)
			const records = 5000
			b.silent(t).fill(t, b.keys[0], records)
			p := b.process(t)
			closing, cancel := ctx()
			defer cancel()
			require.NoError(t, p.Close(closing))
			require.Zero(t, b.length(t, b.stream()))
			b.requireRequests(t, records)
			require.ErrorIs(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err(), result.ConnectionFailed)
			require.Zero(t, b.length(t, b.stream()))
		})
	}
}

// cut gives a bundle's process whose PostgreSQL is out of reach, with records that
// it cannot flush.
func (b *journalBundle) cut(t *testing.T, records int) *process {
	t.Helper()
	proxy, url := faultproxy.Postgres(t, b.url)
	p := b.silent(t)
	p.Primary = &strategy.Postgres{Pool: testdb.Pool(t, url), OpTimeout: time.Minute}
	p.fill(t, b.keys[0], records)
	proxy.Cut()
	p.behind.journal.Start(p.flush)
	return p
}

// What cannot be flushed in time is counted, stays, and is flushed by others.
func TestCloseTellsWhatRemains(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]time.Duration{"deadline": 200 * time.Millisecond, "no deadline": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupJournal(t, 1)
			const records = 1500
			p := b.cut(t, records)
			closing := context.Background()
			if wait > 0 {
				var cancel context.CancelFunc
				closing, cancel = context.WithTimeout(closing, wait)
				defer cancel()
			}
			err := p.Close(closing)
			require.ErrorIs(t, err, result.QueryTimeout)
			require.EqualValues(t, records, result.From(err).Details["remaining"])
			b.process(t)
			b.requireDrained(t)
			b.requireRequests(t, records)
		})
	}
}

// A journal that does not answer cannot be drained, and nobody waits for one that
// never did.
func TestCloseWithoutRedis(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	redis := b.onOwnRedis(t)
	p := b.process(t)
	require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	b.requireDrained(t)
	redis.Kill(syscall.SIGKILL)
	never := b.process(t)
	require.NoError(t, never.Close(context.Background()))
	require.ErrorIs(t, p.Close(context.Background()), result.CacheError)
	b.requireRequests(t, 1)
}

// Records whose append is under way when Close begins are acknowledged and
// flushed, or refused.
func TestCloseUnderLoad(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	p := b.process(t)
	l := startLoad(t, b.keys[0], p.Repo)
	l.more(500)
	closing, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(t, p.Close(closing))
	require.Zero(t, b.length(t, b.stream()))
	l.end()
	require.Positive(t, l.failed.Load())
	b.requireExact(t, l)
}
