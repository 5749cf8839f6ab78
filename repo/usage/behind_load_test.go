package usage

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

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
	option.DisableRetry = true // rueidis gives a retried command away while the lost connection may still write it
	b.redis, err = rueidis.NewClient(option)
	require.NoError(t, err)
	t.Cleanup(b.redis.Close)
	return stack.Redis
}
