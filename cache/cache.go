package cache

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/redis/rueidis"
	"github.com/sony/gobreaker/v2"
)

const (
	// OpTimeout is how long a call waits for Redis at most before it asks the primary.
	OpTimeout   = 250 * time.Millisecond
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
	// Tune changes the client's options before it connects; nil changes none. It
	// cannot change tracking, which the cache lives from.
	Tune func(*rueidis.ClientOption)
	// Prefix starts every key in Redis.
	Prefix string
	// MaxStaleness is how long answers go on without a heartbeat.
	MaxStaleness time.Duration
	// Require makes an unreachable Redis an error of Open.
	Require bool
	// Logger takes one line a change of state.
	Logger *slog.Logger

	// Tests set what is a constant elsewhere; 0 is that constant.
	fetchEvery, breakerPause time.Duration
	fill                     *rueidis.Lua
	without                  without
}

// without are the checks that a test leaves out, to see that it notices. All are off
// the path of a hit.
type without struct{ counter, holds, epoch, tombstone bool }

// Cache is one process's connection to Redis and what it knows of its freshness.
// [Records] keep the records. It is safe for concurrent use; a nil Cache caches
// nothing.
type Cache struct {
	opts    Options
	client  atomic.Pointer[rueidis.Client]
	breaker *gobreaker.CircuitBreaker[struct{}]
	fresh   freshness
	fences  fences
	place   place

	failures atomic.Int64
	losing   sync.RWMutex // held while a loss takes away freshness and records

	mu    sync.RWMutex
	kinds map[string]invalidator

	background context.Context // ends with Close
	stop       context.CancelFunc
	work       sync.WaitGroup
}

// invalidator is what Records are to the cache.
type invalidator interface {
	invalidate(key *Key)
	flush(keep bool)
	dropAside()
	counters() Counters
	follow(p Policy)
	sample(unknown bool) (check func(context.Context))
}

// Open connects. Where Redis is not reachable and not required, it warns, works
// without a cache and goes on trying in the background until it succeeds. A Cluster
// whose masters would share the keys is ErrNoHashTag.
func Open(ctx context.Context, opts Options) (*Cache, error) {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	opts.fetchEvery, opts.breakerPause = cmp.Or(opts.fetchEvery, fetchEvery), cmp.Or(opts.breakerPause, breakerPause)
	opts.fill = cmp.Or(opts.fill, fillScript)
	c := &Cache{opts: opts, background: background, stop: stop, kinds: make(map[string]invalidator)}
	c.fresh.base, c.fresh.before = time.Now(), [2]int64{unproven, unproven}
	c.fresh.mono.Store(unproven)
	c.fresh.wall.Store(unproven)
	c.breaker = c.newBreaker()
	opt, err := c.clientOption()
	if err == nil {
		err = c.open(background, opt)
	}
	if err != nil {
		stop()
		return nil, err
	}
	return c, nil
}

func (c *Cache) clientOption() (rueidis.ClientOption, error) {
	opt, err := parseURL(c.opts.URL)
	if err != nil {
		return opt, err
	}
	opt.Sentinel.Dialer.Timeout = dialTimeout
	if c.opts.Tune != nil {
		c.opts.Tune(&opt)
	}
	c.track(&opt)
	return opt, nil
}

func parseURL(url string) (rueidis.ClientOption, error) {
	opt, err := rueidis.ParseURL(url)
	if err != nil {
		return opt, errors.New("the Redis URL cannot be parsed") // the cause may hold the password
	}
	opt.Dialer.Timeout = dialTimeout
	opt.ConnWriteTimeout = dialTimeout
	opt.DisableRetry = true // a retry would wait for the deadline; the primary is faster
	return opt, nil
}

func (c *Cache) open(ctx context.Context, opt rueidis.ClientOption) error {
	err := c.connect(opt)
	if err != nil && (c.opts.Require || errors.Is(err, ErrNoHashTag)) {
		return err
	}
	if err != nil {
		c.opts.Logger.Warn("relaystore: Redis is not reachable, going on without a cache until it is")
	}
	c.work.Go(func() {
		if err != nil {
			c.reconnect(ctx, opt)
		}
		c.watchHeartbeat(ctx)
	})
	return nil
}

// Close ends the connection and the background work. It is idempotent.
func (c *Cache) Close() {
	if c == nil {
		return
	}
	c.stop()
	c.work.Wait()
	if client := c.client.Swap(nil); client != nil {
		(*client).Close()
	}
	c.fresh.clear() // the loss of the connection is not told to a client that closes
}

func (c *Cache) connect(opt rueidis.ClientOption) error {
	client, err := rueidis.NewClient(opt)
	if err != nil {
		return err
	}
	if err := c.checkCluster(c.background, client); err != nil {
		client.Close()
		return err
	}
	c.client.Store(&client)
	return nil
}

func (c *Cache) reconnect(ctx context.Context, opt rueidis.ClientOption) {
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = 100*time.Millisecond, 2*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := c.connect(opt)
		if errors.Is(err, ErrNoHashTag) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(delays), backoff.WithMaxElapsedTime(0))
	switch {
	case err == nil:
		c.opts.Logger.Info("relaystore: Redis is reachable, the cache is on")
	case errors.Is(err, ErrNoHashTag):
		c.opts.Logger.Error("relaystore: Redis is a Cluster, and the cache stays off: RELAYSTORE_KEY_PREFIX needs a hash tag, such as {relaystore}:")
	}
}

func (c *Cache) newBreaker() *gobreaker.CircuitBreaker[struct{}] {
	return gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:      c.opts.breakerPause,
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

// try runs f against Redis behind the breaker, within OpTimeout and half of the
// time that the caller has: the rest is for the primary.
func (c *Cache) try(ctx context.Context, f func(context.Context, rueidis.Client) error) error {
	client := c.client.Load()
	if client == nil || ctx.Err() != nil {
		return errOff
	}
	limit := OpTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/2)
	}
	_, err := c.breaker.Execute(func() (struct{}, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return struct{}{}, f(ctx, *client)
	})
	c.place.follow(err)
	c.noteFailure(err)
	return err
}
