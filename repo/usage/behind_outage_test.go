package usage

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	keeps    = "the journal cannot be flushed, it keeps what it has until it can"
	flushes  = "the journal is flushed"
	through  = "the journal takes nothing, all is written through until it does"
	takes    = "the journal takes writes again"
	notThere = "the journal's Redis is not reachable, what it would take is written through until it is"
)

// TestPostgresDiesUnderLoad crashes PostgreSQL while two processes record. No call
// fails, and the backlog drains by itself.
func TestPostgresDiesUnderLoad(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]syscall.Signal{"immediate": syscall.SIGQUIT, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupJournal(t, 0)
			postgres := b.onOwnPostgres(t)
			p, q := b.process(t), b.process(t)
			l := startLoad(t, b.keys[0], p.Repo, q.Repo)
			l.more(500)
			postgres.Kill(sig)
			l.more(2000)
			require.Eventually(t, func() bool { return p.log.count(keeps) == 1 && q.log.count(keeps) == 1 }, patience, time.Millisecond)
			require.GreaterOrEqual(t, b.length(t, b.stream()), int64(2000))
			require.NoError(t, postgres.Start(t.Context()))
			l.more(500)
			l.end()
			b.requireExact(t, l)
			require.Zero(t, l.failed.Load()+l.unknown.Load())
			for _, p := range []*process{p, q} {
				require.Eventually(t, func() bool { return p.log.count(flushes) == 1 }, patience, time.Millisecond)
				require.Equal(t, 1, p.log.count(keeps))
				require.Zero(t, p.log.count(through))
			}
		})
	}
}

// TestRedisDiesUnderLoad kills Redis, which fsyncs always, while nobody flushes:
// what it had acknowledged is there when it is back, and meanwhile records are
// written through.
func TestRedisDiesUnderLoad(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	redis := b.onOwnRedis(t)
	p := b.silent(t)
	l := startLoad(t, b.keys[0], p.Repo)
	l.more(2000)
	require.Zero(t, b.count(t, "SELECT count(*) FROM usage_records"))
	redis.Kill(syscall.SIGKILL)
	l.more(500)
	require.Positive(t, b.count(t, "SELECT count(*) FROM usage_records"), "written through")
	require.EqualValues(t, -1, p.oldestUnflushed(t.Context()), "nobody can tell")
	require.NoError(t, redis.Start(t.Context()))
	require.Eventually(t, func() bool { return p.log.count(takes) == 1 }, patience, time.Millisecond)
	l.more(500)
	l.end()
	require.Equal(t, 1, p.log.count(through))
	require.GreaterOrEqual(t, b.length(t, b.stream()), int64(2500))
	p.behind.journal.Start(p.flush)
	b.requireExact(t, l)
	require.Zero(t, l.failed.Load()+l.unknown.Load())
}

// TestRedisStalls stops Redis with the sockets open. Appends that it takes when it
// goes on are of records that were written through meanwhile: they count once.
func TestRedisStalls(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	redis := b.onOwnRedis(t)
	p := b.silent(t)
	l := startLoad(t, b.keys[0], p.Repo)
	l.more(200)
	require.NoError(t, redis.Pause())
	t.Cleanup(func() { _ = redis.Resume() })
	require.Eventually(t, func() bool { return p.log.count(through) == 1 }, patience, time.Millisecond)
	l.more(500)
	require.NoError(t, redis.Resume())
	require.Eventually(t, func() bool { return p.log.count(takes) == 1 }, patience, time.Millisecond)
	l.more(200)
	l.end()
	both := b.length(t, b.stream()) + b.count(t, "SELECT count(*) FROM usage_records")
	require.Greater(t, both, l.acked.Load(), "no append was of unknown outcome")
	p.behind.journal.Start(p.flush)
	b.requireExact(t, l)
	require.Zero(t, l.failed.Load()+l.unknown.Load())
}

// TestOpenWithoutRedis records at once, and finds Redis when it is there.
func TestOpenWithoutRedis(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	redis := b.onOwnRedis(t)
	redis.Kill(syscall.SIGKILL)
	p := b.process(t)
	require.Equal(t, 1, p.log.count(notThere))
	for range 5 {
		require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	}
	b.requireRequests(t, 5)
	require.NoError(t, redis.Start(t.Context()))
	require.Eventually(t, func() bool { return p.log.count(flushes) == 1 }, patience, time.Millisecond)
	require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	b.requireDrained(t)
	b.requireRequests(t, 6)
	require.Equal(t, 2, p.log.count("\n"), "a line for each change")
}

// Nothing is there to take a record: the caller is told, and that the journal may
// have it where it may.
func TestNeitherRedisNorPostgres(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	postgres, redis := b.onOwnPostgres(t), b.onOwnRedis(t)
	p := b.silent(t)
	p.Primary.OpTimeout = 100 * time.Millisecond
	require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	postgres.Kill(syscall.SIGQUIT)
	require.NoError(t, redis.Pause())
	t.Cleanup(func() { _ = redis.Resume() })
	err := p.RecordUsage(t.Context(), sample(b.keys[0])).Err()
	require.ErrorIs(t, err, result.ConnectionFailed)
	require.Equal(t, true, result.From(err).Details["outcomeUnknown"])
	require.Eventually(t, func() bool {
		err = p.RecordUsage(t.Context(), sample(b.keys[0])).Err()
		return result.From(err).Details["outcomeUnknown"] == nil
	}, patience, time.Millisecond, "an open breaker asks nobody")
	require.ErrorIs(t, err, result.ConnectionFailed)
}
