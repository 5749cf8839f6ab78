package cache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// fetchEvery is how often a process looks at the heartbeat.
const fetchEvery = 250 * time.Millisecond

// Heartbeat is what the drainer of the outbox writes to Redis: every change that
// was committed before Beat has been told to Redis.
type Heartbeat struct {
	// Epoch changes when Redis has lost writes; records of another one are void.
	Epoch int64
	// Beat is the database's clock in microseconds since 1970.
	Beat int64
	// Lag is how far Beat was behind the clock when it was written.
	Lag time.Duration
}

func (h Heartbeat) text() string {
	return fmt.Sprintf("%d %d %d", h.Epoch, h.Beat, h.Lag.Microseconds())
}

func parseHeartbeat(text string) (h Heartbeat, err error) {
	var lag int64
	_, err = fmt.Sscanf(text, "%d %d %d", &h.Epoch, &h.Beat, &lag)
	h.Lag = time.Duration(lag) * time.Microsecond
	return h, err
}

func (c *Cache) heartbeatName() string { return c.opts.Prefix + "heartbeat" }

// errReplica: a replica may lag, so that its heartbeats prove nothing.
var errReplica = errors.New("the Redis that answers is a replica")

// ReadHeartbeat gives the heartbeat in Redis, the zero value where there is none,
// and the server that holds it: its run_id, which a restart and a failover change.
func (c *Cache) ReadHeartbeat(ctx context.Context) (h Heartbeat, server string, err error) {
	master := false
	err = c.try(ctx, func(ctx context.Context, r rueidis.Client) error {
		replies := r.DoMulti(ctx, r.B().Info().Section("server", "replication").Build(), r.B().Get().Key(c.heartbeatName()).Build())
		info, err := replies[0].ToString()
		if err != nil {
			return err
		}
		server, master = infoField(info, "run_id"), infoField(info, "role") == "master"
		text, err := replies[1].ToString()
		if rueidis.IsRedisNil(err) {
			return nil
		}
		if err == nil {
			h, err = parseHeartbeat(text)
		}
		return err
	})
	if err == nil && !master {
		err = errReplica
	}
	return h, server, err
}

func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// ErrHeartbeatReplaced means that Redis holds another heartbeat than it did.
var ErrHeartbeatReplaced = errors.New("the heartbeat in Redis is not the one that was read")

var beatScript = rueidis.NewLuaScript(`
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
	return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1`)

// ReplaceHeartbeat puts a heartbeat into Redis in place of the one that
// [Cache.ReadHeartbeat] gave. Where Redis holds another one by now, it may have
// lost writes in between, and this is ErrHeartbeatReplaced.
func (c *Cache) ReplaceHeartbeat(ctx context.Context, held, next Heartbeat) error {
	before := ""
	if held != (Heartbeat{}) {
		before = held.text()
	}
	replaced := false
	err := c.try(ctx, func(ctx context.Context, r rueidis.Client) (err error) {
		replaced, err = beatScript.Exec(ctx, r, []string{c.heartbeatName()}, []string{before, next.text()}).AsBool()
		return err
	})
	if err == nil && !replaced {
		return ErrHeartbeatReplaced
	}
	return err
}

// freshness says since when this process has missed no change. Both clocks count:
// the monotonic one stands still while a machine is suspended, the other can be
// set.
type freshness struct {
	base       time.Time
	mono, wall atomic.Int64 // nanoseconds: since base, since 1970
	epoch      atomic.Int64 // of the heartbeats since the last loss; 0 before the first

	mu     sync.Mutex
	losses int64 // of the connection, or of all that Redis held
}

// age is how old an answer from the cache may be.
func (f *freshness) age(now time.Time) time.Duration {
	return time.Duration(max(int64(now.Sub(f.base))-f.mono.Load(), now.UnixNano()-f.wall.Load()))
}

func (f *freshness) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.losses++
	f.epoch.Store(0)
	f.mono.Store(math.MinInt64 / 2)
	f.wall.Store(math.MinInt64 / 2)
}

// set begins a new age, unless the connection was lost since losses was read.
func (f *freshness) set(since time.Time, losses int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.losses != losses {
		return
	}
	f.mono.Store(int64(since.Sub(f.base)))
	f.wall.Store(since.UnixNano())
}

// enter notes the epoch of a heartbeat, unless the connection was lost since losses
// was read.
func (f *freshness) enter(epoch, losses int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.losses != losses {
		return false
	}
	f.epoch.Store(epoch)
	return true
}

func (f *freshness) lost() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.losses
}

// Fresh tells whether the process may answer from its cache at a moment.
func (c *Cache) Fresh(now time.Time) bool {
	return c != nil && c.fresh.age(now) <= c.opts.MaxStaleness
}

// Age is how old an answer from the cache may be at a moment.
func (c *Cache) Age(now time.Time) time.Duration { return c.fresh.age(now) }

// Epoch is that of the heartbeats in the Redis that the process is connected to; 0
// where it has not seen one yet.
func (c *Cache) Epoch() int64 { return c.fresh.epoch.Load() }

// watchHeartbeat fetches the heartbeat on the connection that pushes come on, so
// that its answer comes after every push sent before it.
func (c *Cache) watchHeartbeat(ctx context.Context) {
	tick := time.NewTicker(c.opts.fetchEvery)
	defer tick.Stop()
	var last observation
	for ctx.Err() == nil {
		last = c.observe(ctx, last)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// observation is a heartbeat, when it was asked for, and since when its successor
// proves this process fresh.
type observation struct {
	Heartbeat

	sent   time.Time
	proves time.Time
	losses int64
}

// observe fetches once. Heartbeats are written one after the other, each about
// what was committed after the one before was written. So when a second successor
// shows, it is about all that was committed before the last fetch that still gave
// the first: however long a writer was held up, a heartbeat cannot seem younger
// than it is.
func (c *Cache) observe(ctx context.Context, last observation) observation {
	now := observation{sent: time.Now(), losses: c.fresh.lost()}
	h, _, err := c.ReadHeartbeat(ctx)
	if err != nil || h.Beat == 0 {
		return observation{}
	}
	if epoch := c.Epoch(); epoch != 0 && epoch != h.Epoch {
		c.lose()
		return observation{}
	}
	if !c.fresh.enter(h.Epoch, now.losses) {
		return observation{}
	}
	now.Heartbeat = h
	switch {
	case last.sent.IsZero() || last.losses != now.losses || h.Beat < last.Beat:
		return now
	case h.Beat == last.Beat:
		now.proves = last.proves
		return now
	}
	now.proves = last.sent
	if !last.proves.IsZero() {
		c.fresh.set(last.proves.Add(-h.Lag), now.losses)
		c.fences.lower(h.Beat)
	}
	return now
}
