package strategy

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// connection is the one that all calls of a Redis primary share. rueidis would connect
// inside of the first call that finds none, and lets the others wait for that one,
// whatever their own deadlines are: behind a Redis that was stopped, calls of 1 s took 5.
// So a client that has failed a call is tried beside the calls, and each waits for that
// only as long as it may.
type connection struct {
	sound atomic.Pointer[rueidis.Client] // nil: try first

	mu     sync.Mutex
	client rueidis.Client
	trying *attempt
	closed bool
}

// attempt is one to reach the server; client and err are there when done is closed.
type attempt struct {
	done   chan struct{}
	client rueidis.Client
	err    error
}

// connected gives the client when it is known to reach the server.
func (r *Redis) connected(ctx context.Context) (rueidis.Client, error) {
	if client := r.conn.sound.Load(); client != nil {
		return *client, nil
	}
	a := r.attempt()
	if a == nil {
		return nil, result.ConnectionFailed
	}
	select {
	case <-a.done:
		return a.client, a.err
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

// attempt is the one that is under way, or a new one; nil is after Close.
func (r *Redis) attempt() *attempt {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	if r.conn.closed {
		return nil
	}
	if r.conn.trying == nil {
		r.conn.trying = &attempt{done: make(chan struct{}), client: r.conn.client}
		go r.try(r.conn.trying)
	}
	return r.conn.trying
}

func (r *Redis) try(a *attempt) {
	if a.client == nil {
		a.client, a.err = r.connect()
	} else {
		a.err = r.ping(a.client)
	}
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	r.conn.trying = nil
	switch {
	case a.err != nil:
	case r.conn.closed:
		a.client.Close()
		a.err = result.ConnectionFailed
	default:
		r.conn.client = a.client
		r.conn.sound.Store(&a.client)
	}
	close(a.done)
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
	r.conn.sound.Store(nil)
	if r.conn.client != nil {
		r.conn.client.Close()
	}
}
