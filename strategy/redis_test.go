package strategy_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// Callers share one attempt to connect, and none waits for it beyond its own deadline.
func TestRedisThatDoesNotConnect(t *testing.T) {
	t.Parallel()
	var attempts atomic.Int64
	hangs := make(chan struct{})
	t.Cleanup(func() { close(hangs) })
	r := &strategy.Redis{OpTimeout: 20 * time.Millisecond, Connect: func() (rueidis.Client, error) {
		attempts.Add(1)
		select {
		case <-hangs:
		case <-time.After(10 * time.Second): // so that a caller who waits for it fails
		}
		return nil, errors.New("no answer")
	}}
	never := func(context.Context, rueidis.Client) error { return nil }
	outcomes := make(chan error)
	for range 20 {
		go func() { outcomes <- r.Read(context.Background(), never) }()
	}
	for range 20 {
		require.ErrorIs(t, <-outcomes, result.ConnectionTimeout)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r.Read(gone, never), context.Canceled)
	require.EqualValues(t, 1, attempts.Load())
	r.Close()
	require.ErrorIs(t, r.Read(t.Context(), never), result.ConnectionFailed)
}

// So with many calls at once, of which nothing is sent before the server is reached.
func TestManyCallsToARedisThatDoesNotConnect(t *testing.T) {
	t.Parallel()
	m := setupMoves(t)
	s := m.open()
	require.NoError(t, s.Move(t.Context(), strategy.Session, config(strategy.PrimaryRedis), nil).Err())
	hangs := make(chan struct{})
	s.Redis.Drop(func() (rueidis.Client, error) {
		select {
		case <-hangs:
		case <-time.After(10 * time.Second): // so that a caller who waits for it fails
		}
		return nil, errors.New("no answer")
	})
	s.Redis.OpTimeout = time.Hour
	replies := s.Redis.WriteAll(soon(t), strategy.Session, addToRedis, []strategy.Call{{Keys: []string{ids}, Args: []string{"one"}}})
	require.ErrorIs(t, replies[0].Err, result.ConnectionTimeout)
	require.False(t, unknown(replies[0].Err))
	close(hangs)
}

// A connection that is made when nobody needs it any more is closed.
func TestRedisConnectsAfterClose(t *testing.T) {
	t.Parallel()
	made := testdb.Redis(t)
	asked, let := make(chan struct{}), make(chan struct{})
	r := &strategy.Redis{OpTimeout: time.Minute, Connect: func() (rueidis.Client, error) {
		close(asked)
		<-let
		return made, nil
	}}
	read := make(chan error, 1)
	go func() {
		read <- r.Read(context.WithoutCancel(t.Context()), func(context.Context, rueidis.Client) error { return nil })
	}()
	<-asked
	r.Close()
	close(let)
	require.ErrorIs(t, <-read, result.ConnectionFailed)
	require.ErrorIs(t, made.Do(t.Context(), made.B().Ping().Build()).Error(), rueidis.ErrClosing)
}
