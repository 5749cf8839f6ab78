package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

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

// parseHeartbeat gives no heartbeat for what is not exactly one: it is replaced then,
// which it would else keep from happening for ever.
func parseHeartbeat(text string) (h Heartbeat) {
	var lag int64
	_, err := fmt.Sscanf(text, "%d %d %d", &h.Epoch, &h.Beat, &lag)
	h.Lag = time.Duration(lag) * time.Microsecond
	if err != nil || h.text() != text {
		return Heartbeat{}
	}
	return h
}

func (c *Cache) heartbeatName() string { return c.opts.Prefix + "heartbeat" }

// errReplica: a replica may lag, so that its heartbeats prove nothing.
var errReplica = errors.New("the Redis that answers is a replica")

// ReadHeartbeat gives the heartbeat in Redis, the zero value where there is none
// or something else, and the server that holds it: its run_id, which a restart and a failover change.
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
		if rueidis.IsRedisNil(err) || wrongType(err) {
			return nil
		}
		h = parseHeartbeat(text)
		return err
	})
	if err == nil && !master {
		err = errReplica
	}
	return h, server, err
}

func wrongType(err error) bool {
	redis, ok := rueidis.IsRedisErr(err)
	return ok && strings.HasPrefix(redis.Error(), "WRONGTYPE")
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
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then
	return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1`)

// ReplaceHeartbeat puts a heartbeat into Redis in place of the one that
// [Cache.ReadHeartbeat] gave. Where Redis holds another one by now, it may have
// lost writes in between, and this is ErrHeartbeatReplaced. In place of none it takes
// whatever stands there, so that next must begin an epoch.
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
