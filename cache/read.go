package cache

import (
	"bytes"
	"context"
	"strconv"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

// A lease is a value that starts with leaseMark, which no record does.
const leaseMark = '\x00'

// fill stores ARGV[2] for ARGV[3] ms in place of the lease ARGV[1], if that
// lease still stands: a write in between has deleted it, and the answer is old.
var fill = rueidis.NewLuaScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then
	return redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return false`)

// Get gives the record of a key: from this process, from Redis, or from load,
// which reads the primary and whose error is passed on and never cached. Records
// must not start with a zero byte.
func (c *Cache) Get(ctx context.Context, key string, load func(context.Context) ([]byte, error)) ([]byte, error) {
	if c == nil || c.fences.up(key) {
		return load(ctx)
	}
	name := c.opts.Prefix + key
	record, lease := c.lookup(ctx, name)
	if record != nil {
		return record, nil
	}
	record, err := load(ctx)
	if lease == "" {
		return record, err
	}
	if err != nil {
		c.release(ctx, name)
		return nil, err
	}
	c.store(ctx, name, lease, record)
	return record, nil
}

// lookup gives the record, or the lease that this call took on a miss, or
// neither: Redis is off, or another call is filling.
func (c *Cache) lookup(ctx context.Context, name string) (record []byte, lease string) {
	_ = c.try(ctx, func(ctx context.Context, r rueidis.Client) error {
		v, err := r.DoCache(ctx, r.B().Get().Key(name).Cache(), c.opts.TTL).AsBytes()
		if err == nil && !bytes.HasPrefix(v, []byte{leaseMark}) {
			record = v
		}
		if !rueidis.IsRedisNil(err) {
			return err
		}
		token := string(leaseMark) + uuid.NewString()
		err = r.Do(ctx, r.B().Set().Key(name).Value(token).Nx().PxMilliseconds(leaseTTL.Milliseconds()).Build()).Error()
		if err == nil {
			lease = token
		}
		return redisFailure(err)
	})
	return record, lease
}

func (c *Cache) store(ctx context.Context, name, lease string, record []byte) {
	_ = c.try(ctx, func(ctx context.Context, r rueidis.Client) error {
		ttl := strconv.FormatInt(c.opts.TTL.Milliseconds(), 10)
		return redisFailure(fill.Exec(ctx, r, []string{name}, []string{lease, string(record), ttl}).Error())
	})
}

// release gives up a lease that will not be filled. Deleting is always right: at
// worst it costs another call its fill.
func (c *Cache) release(ctx context.Context, name string) {
	_ = c.try(context.WithoutCancel(ctx), func(ctx context.Context, r rueidis.Client) error {
		return r.Do(ctx, r.B().Del().Key(name).Build()).Error()
	})
}

// redisFailure drops the null reply: it is an answer.
func redisFailure(err error) error {
	if rueidis.IsRedisNil(err) {
		return nil
	}
	return err
}
