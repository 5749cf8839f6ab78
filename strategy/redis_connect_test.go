package strategy_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// soon is the context of a caller who has little time.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// However long connecting takes, callers wait as long as they may, for one attempt; and
// so they do when a server that was reached says nothing.
func TestCallsDoNotWaitForTheConnection(t *testing.T) {
	t.Parallel()
	proxy, url := faultproxy.Redis(t, testdb.RedisServer(t).URL())
	var attempts atomic.Int64
	gate := make(chan struct{})
	r := &strategy.Redis{OpTimeout: time.Minute, Connect: func() (rueidis.Client, error) {
		attempts.Add(1)
		<-gate
		opt, err := rueidis.ParseURL(url)
		if err != nil {
			return nil, err
		}
		opt.DisableRetry, opt.DisableCache, opt.ForceSingleClient = true, true, true
		opt.Dialer.Timeout, opt.ConnWriteTimeout = time.Hour, time.Hour
		return rueidis.NewClient(opt)
	}}
	t.Cleanup(r.Close)
	ping := func(ctx context.Context) error {
		return r.Read(ctx, func(ctx context.Context, c rueidis.Client) error { return c.Do(ctx, c.B().Ping().Build()).Error() })
	}
	left, leave := context.WithCancel(t.Context())
	leave()
	require.Equal(t, result.Cancelled, code(ping(left)))
	for range 3 {
		require.ErrorIs(t, ping(soon(t)), result.ConnectionTimeout)
	}
	close(gate)
	require.NoError(t, ping(t.Context()))
	require.EqualValues(t, 1, attempts.Load())

	proxy.Stall()
	require.Equal(t, result.QueryTimeout, code(ping(soon(t))))
	require.ErrorIs(t, ping(soon(t)), result.ConnectionTimeout, "it is tried first")
	proxy.Pass()
	require.Eventually(t, func() bool { return ping(t.Context()) == nil }, time.Minute, time.Millisecond)
	require.EqualValues(t, 1, attempts.Load())
}

// Without PostgreSQL, writers go on under the epoch that they follow. Where Redis has
// lost it, nobody writes until PostgreSQL tells it.
func TestARedisPrimaryWithoutPostgreSQL(t *testing.T) {
	t.Parallel()
	m := setupMoves(t)
	proxy, through := faultproxy.Postgres(t, m.database)
	m.database = through
	s := m.open()
	require.NoError(t, s.Move(t.Context(), strategy.Session, config(strategy.PrimaryRedis), nil).Err())
	proxy.Cut()
	require.NoError(t, s.insert(t.Context(), "one"))
	require.NoError(t, m.direct.Do(t.Context(), m.direct.B().Del().Key(strategy.EpochKey(strategy.Session)).Build()).Error())
	require.ErrorIs(t, s.insert(t.Context(), "two"), result.ReadOnly)
	require.Equal(t, []string{"one"}, m.stored(strategy.PrimaryRedis))
	proxy.Pass()
	require.Eventually(t, func() bool { return s.insert(t.Context(), "three") == nil }, time.Minute, time.Millisecond)

	loading := strategy.NewScript(`return redis.error_reply('LOADING Redis is loading the dataset in memory')`)
	_, err := s.Redis.Write(t.Context(), strategy.Session, loading, []string{ids}, nil)
	require.ErrorIs(t, err, result.ConnectionFailed)
	require.False(t, unknown(err), "it has done nothing")
}

// A look that PostgreSQL keeps waiting holds up no other for longer than that one may wait.
func TestALookDoesNotWaitForAnother(t *testing.T) {
	t.Parallel()
	proxy, through := faultproxy.Postgres(t, testdb.URL(t))
	pool, err := pgxpool.New(t.Context(), through)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	t.Cleanup(proxy.Cut) // a stalled connection would hold up Close
	s := &strategy.Switches{Primary: &strategy.Postgres{Pool: pool, OpTimeout: time.Hour}, Machinery: strategy.Machinery{Cache: true}}
	require.NoError(t, s.Look(t.Context()))
	proxy.Stall()
	first, leave := context.WithCancel(t.Context())
	looked := make(chan error, 1)
	go func() { looked <- s.Look(first) }()
	require.Eventually(t, func() bool { return pool.Stat().AcquiredConns() == 1 }, time.Minute, time.Millisecond, "it asks")
	require.Equal(t, result.QueryTimeout, code(s.Look(soon(t))))
	require.Equal(t, result.QueryTimeout, code(s.Switch(soon(t), strategy.Session, strategy.Default(strategy.Session, false)).Err()))
	leave()
	require.Error(t, <-looked)
}
