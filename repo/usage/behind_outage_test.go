package usage

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/schema"
)

// load records in many goroutines until it is stopped. Its records have no
// requestId: what counts them once is the id that each keeps.
type load struct {
	t       *testing.T
	stop    context.CancelFunc
	callers sync.WaitGroup
	acked   atomic.Int64
	unknown atomic.Int64 // failed with outcomeUnknown
	failed  atomic.Int64 // failed, and surely not written
}

const callers = 16

func startLoad(t *testing.T, key string, repos ...*Repo) *load {
	t.Helper()
	l := &load{t: t}
	running, stop := context.WithCancel(t.Context())
	l.stop = stop
	t.Cleanup(stop)
	for i := range callers {
		l.callers.Go(func() {
			for running.Err() == nil {
				l.record(t.Context(), repos[i%len(repos)], key)
			}
		})
	}
	return l
}

func (l *load) record(ctx context.Context, r *Repo, key string) {
	switch err := r.RecordUsage(ctx, sample(key)).Err(); {
	case err == nil:
		l.acked.Add(1)
	case result.From(err).Details["outcomeUnknown"] == true:
		l.unknown.Add(1)
	default:
		l.failed.Add(1)
	}
}

// more waits until n further records are acknowledged.
func (l *load) more(n int64) {
	l.t.Helper()
	before := l.acked.Load()
	require.Eventually(l.t, func() bool { return l.acked.Load() >= before+n }, patience, time.Millisecond)
}

func (l *load) end() {
	l.stop()
	l.callers.Wait()
}

// requireExact tells that each acknowledged record counts once.
func (b *journalBundle) requireExact(t *testing.T, l *load) {
	t.Helper()
	b.requireDrained(t)
	records := b.count(t, "SELECT count(*) FROM usage_records")
	require.GreaterOrEqual(t, records, l.acked.Load(), "acknowledged and lost")
	require.LessOrEqual(t, records, l.acked.Load()+l.unknown.Load(), "counted twice")
	require.Equal(t, records, total(t, b.Repo, StatsQuery{}).TotalRequests)
	require.Zero(t, b.length(t, b.refused()))
	t.Logf("%d acknowledged, %d of unknown outcome, %d refused", l.acked.Load(), l.unknown.Load(), l.failed.Load())
}

func startStack(t *testing.T, o devstack.Options) *devstack.Stack {
	t.Helper()
	stack, err := devstack.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stack.Close()) })
	return stack
}

// onOwnPostgres moves a bundle to a PostgreSQL that no other test uses.
func (b *journalBundle) onOwnPostgres(t *testing.T) *devstack.Server {
	t.Helper()
	stack := startStack(t, devstack.Options{SkipRedis: true})
	require.NoError(t, schema.Migrate(t.Context(), stack.DatabaseURL))
	b.url, b.pool = stack.DatabaseURL, testdb.Pool(t, stack.DatabaseURL)
	b.Repo = open(t, b.url)
	b.keys = []string{b.addKey(t, "key")}
	return stack.Postgres
}

// onOwnRedis does so with Redis.
func (b *journalBundle) onOwnRedis(t *testing.T) *devstack.Server {
	t.Helper()
	stack := startStack(t, devstack.Options{SkipPostgres: true})
	option, err := rueidis.ParseURL(stack.RedisURL)
	require.NoError(t, err)
	b.redisURL = stack.RedisURL
	b.redis, err = rueidis.NewClient(option)
	require.NoError(t, err)
	t.Cleanup(b.redis.Close)
	return stack.Redis
}

const (
	keeps    = "the journal cannot be flushed, it keeps what it has until it can"
	flushes  = "the journal is flushed"
	through  = "the journal takes no usage, it is written through until it does"
	takes    = "the journal takes usage again"
	notThere = "the journal's Redis is not reachable, usage is written through until it is"
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
