package strategy

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/redis/rueidis"
	"golang.org/x/sync/singleflight"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// connection is the one that all calls of a Redis primary share. rueidis would connect
// inside of the first call that finds none, and lets the others wait for that one,
// whatever their own deadlines are: behind a Redis that was stopped, calls of 1 s took 5.
// So a client that has failed a call is tried beside the calls, once for all of them, and
// each waits for that only as long as it may.
type connection struct {
	sound  atomic.Pointer[rueidis.Client] // nil: try first
	trying singleflight.Group

	mu     sync.Mutex
	client rueidis.Client
	closed bool
}

// connected gives the client when it is known to reach the server.
func (r *Redis) connected(ctx context.Context) (rueidis.Client, error) {
	if client := r.conn.sound.Load(); client != nil {
		return *client, nil
	}
	select {
	case tried := <-r.conn.trying.DoChan("", r.try):
		client, _ := tried.Val.(rueidis.Client)
		return client, tried.Err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
		return nil, result.ConnectionTimeout
	}
}

// reach is connected, tried again where that may help: nothing has been sent yet.
func (r *Redis) reach(ctx context.Context) (client rueidis.Client, err error) {
	err = r.Retry.Do(ctx, func() error {
		client, err = r.connected(ctx)
		return err
	}, always)
	return client, err
}

// try connects, or asks a client that has failed whether it reaches the server.
func (r *Redis) try() (any, error) {
	r.conn.mu.Lock()
	client, closed := r.conn.client, r.conn.closed
	r.conn.mu.Unlock()
	var err error
	switch {
	case closed:
		err = result.ConnectionFailed
	case client == nil:
		client, err = r.connect()
	default:
		err = r.ping(client)
	}
	if err != nil {
		return nil, err
	}
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	if r.conn.closed {
		client.Close()
		return nil, result.ConnectionFailed
	}
	r.conn.client = client
	r.conn.sound.Store(&client)
	return client, nil
}

func (r *Redis) connect() (rueidis.Client, error) {
	client, err := r.Connect()
	if err != nil {
		return nil, unreached(err)
	}
	if cache.InCluster(context.Background(), client) {
		client.Close()
		return nil, result.Invalid("primaryStorage", "the Redis is a Cluster, which would spread a record's keys over its servers")
	}
	return client, nil
}

// ping asks for no longer than a call does: rueidis gives a connection up then.
func (r *Redis) ping(client rueidis.Client) error {
	ctx, cancel := r.bounded(context.Background())
	defer cancel()
	err := client.Do(ctx, client.B().Ping().Build()).Error()
	if _, answered := rueidis.IsRedisErr(err); answered {
		return nil
	}
	return unreached(err)
}

// unreached gives a failure to reach the server its code.
func unreached(err error) error {
	switch {
	case err == nil:
		return nil
	case late(err):
		return result.ConnectionTimeout
	}
	return result.ConnectionFailed
}

// late tells a time that was over from a connection that broke.
func late(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// failed gives a call's error its code, and has the connection tried before the next
// call where it may be the reason.
func (r *Redis) failed(ctx context.Context, err error) error {
	e := redisError(ctx, err)
	if _, answered := rueidis.IsRedisErr(err); e != nil && !answered && Down(e) {
		r.conn.sound.Store(nil)
	}
	return e
}

// Close ends the connection. A nil Redis has none.
func (r *Redis) Close() {
	if r == nil {
		return
	}
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	r.conn.closed = true
	r.conn.trying.Forget("") // the next call does not wait to hear it
	r.conn.sound.Store(nil)
	if r.conn.client != nil {
		r.conn.client.Close()
	}
}
