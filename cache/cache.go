package cache

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/redis/rueidis"
	"github.com/sony/gobreaker/v2"
)

const (
	// leaseTTL bounds how long a fill may take from its miss.
	leaseTTL = 2 * time.Second
	// opTimeout is how long a call waits for Redis before it asks the primary.
	opTimeout   = 250 * time.Millisecond
	dialTimeout = time.Second
	// A breaker opens after this many failures in a row, and tries again after
	// breakerPause.
	breakerFailures = 5
	breakerPause    = time.Second
)

// Options configures a [Cache].
type Options struct {
	// URL is redis://, rediss:// or unix://, as rueidis.ParseURL takes it.
	URL string
	// Tune changes the client's options before it connects; nil changes none.
	Tune func(*rueidis.ClientOption)
	// Prefix starts every key in Redis.
	Prefix string
	// TTL is how long an answer may be kept anywhere.
	TTL time.Duration
	// Require makes an unreachable Redis an error of Open.
	Require bool
	// Logger takes one line a change of state.
	Logger *slog.Logger
}

// Cache is one process's view of Redis. It is safe for concurrent use.
type Cache struct {
	opts    Options
	client  atomic.Pointer[rueidis.Client]
	breaker *gobreaker.CircuitBreaker[struct{}]
	fences  fences
	stop    context.CancelFunc
	done    chan struct{}
}

// Open connects. Where Redis is not reachable and not required, it warns, works
// without a cache and goes on trying in the background until it succeeds.
func Open(ctx context.Context, opts Options) (*Cache, error) {
	opt, err := rueidis.ParseURL(opts.URL)
	if err != nil {
		return nil, errors.New("the Redis URL cannot be parsed") // the cause may hold the password
	}
	opt.Dialer.Timeout = dialTimeout
	opt.ConnWriteTimeout = dialTimeout
	opt.DisableRetry = true // a retry would wait for the deadline; the primary is faster
	opt.PipelineMultiplex = -1
	if opts.Tune != nil {
		opts.Tune(&opt)
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	c := &Cache{opts: opts, stop: stop, done: make(chan struct{})}
	c.breaker = c.newBreaker()
	if err := c.connect(opt); err != nil {
		if opts.Require {
			stop()
			return nil, err
		}
		opts.Logger.Warn("relaystore: Redis is not reachable, going on without a cache until it is")
		go c.reconnect(background, opt)
		return c, nil
	}
	close(c.done)
	return c, nil
}

// Close ends the connections and the background work. It is idempotent.
func (c *Cache) Close() {
	c.stop()
	<-c.done
	if client := c.client.Swap(nil); client != nil {
		(*client).Close()
	}
}

// Reachable tells whether the last thing known of Redis is that it answers.
func (c *Cache) Reachable() bool {
	return c.client.Load() != nil && c.breaker.State() == gobreaker.StateClosed
}

func (c *Cache) connect(opt rueidis.ClientOption) error {
	client, err := rueidis.NewClient(opt)
	if err != nil {
		return err
	}
	c.client.Store(&client)
	return nil
}

func (c *Cache) reconnect(ctx context.Context, opt rueidis.ClientOption) {
	defer close(c.done)
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = 100*time.Millisecond, 2*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, c.connect(opt) },
		backoff.WithBackOff(delays), backoff.WithMaxElapsedTime(0))
	if err == nil {
		c.opts.Logger.Info("relaystore: Redis is reachable, the cache is on")
	}
}

func (c *Cache) newBreaker() *gobreaker.CircuitBreaker[struct{}] {
	return gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:      breakerPause,
		ReadyToTrip:  func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= breakerFailures },
		IsExcluded:   func(err error) bool { return errors.Is(err, context.Canceled) }, // the caller left
		IsSuccessful: func(err error) bool { return err == nil || answered(err) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			switch {
			case from == gobreaker.StateClosed: // not again after each trial
				c.opts.Logger.Warn("relaystore: Redis does not answer, going on without a cache until it does")
			case to == gobreaker.StateClosed:
				c.opts.Logger.Info("relaystore: Redis answers again, the cache is on")
			}
		},
	})
}

// answered holds for an error that a working Redis reported: one record of a
// wrong type must not switch off the cache of all others.
func answered(err error) bool {
	redis, ok := rueidis.IsRedisErr(err)
	return ok && !redis.IsLoading()
}

// errOff means that Redis was not asked.
var errOff = errors.New("the cache is off")

// try runs f against Redis behind the breaker, within opTimeout and half of the
// time that the caller has: the rest is for the primary.
func (c *Cache) try(ctx context.Context, f func(context.Context, rueidis.Client) error) error {
	client := c.client.Load()
	if client == nil || ctx.Err() != nil {
		return errOff
	}
	limit := opTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/2)
	}
	_, err := c.breaker.Execute(func() (struct{}, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return struct{}{}, f(ctx, *client)
	})
	return err
}
