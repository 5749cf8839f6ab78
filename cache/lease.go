package cache

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

// What a key in Redis holds, by its first byte: a record ("v", its epoch, a
// space, the record), the lease of a fill, or a tombstone, which a writer leaves
// so that leases break and every process hears of it, whether or not the key was
// there.
const (
	markRecord    = "v"
	markLease     = "l"
	markTombstone = "t"

	// leaseTTL bounds how long a fill may take from its miss, tombstoneTTL how
	// long nobody fills after a write.
	leaseTTL     = 2 * time.Second
	tombstoneTTL = 2 * time.Second
)

// DefaultTTL is how long Redis keeps a record; freshness does not hang on it.
const DefaultTTL = 10 * time.Minute

var (
	// leaseScript takes the lease where the key holds nothing or a record of
	// another epoch.
	leaseScript = rueidis.NewLuaScript(`
local v = redis.call('GET', KEYS[1])
if v and (string.sub(v, 1, 1) ~= 'v' or string.sub(v, 1, #ARGV[2]) == ARGV[2]) then
	return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return false`)

	// fillScript stores a record in place of its lease, if that still stands.
	fillScript = rueidis.NewLuaScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then
	redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 0`)
)

// anyEpoch is what a test reads of, to leave the check out.
const anyEpoch = -1

func (c *Cache) read() int64 {
	if c.opts.without.epoch {
		return anyEpoch
	}
	return c.Epoch()
}

func recordStart(epoch int64) string { return markRecord + strconv.FormatInt(epoch, 10) + " " }

// lease is the right to fill a key in Redis, in the epoch that it was taken in: a
// failover may bring it back together with what it had been broken for.
type lease struct {
	name, token string
	epoch       int64
}

func (l lease) taken() bool { return l.token != "" }

// readRecord gives the record that a key holds in an epoch, or tells that a lease
// for it may be had: it holds nothing, or a record of another epoch.
func readRecord(ctx context.Context, r rueidis.Client, name string, epoch int64) (record []byte, vacant bool, err error) {
	held, err := r.Do(ctx, r.B().Get().Key(name).Build()).ToString()
	switch {
	case rueidis.IsRedisNil(err):
		return nil, true, nil
	case err != nil:
		return nil, false, err
	}
	start := recordStart(epoch)
	if epoch == anyEpoch {
		start = held[:strings.IndexByte(held, ' ')+1]
	}
	if text, ok := strings.CutPrefix(held, start); ok && text != held {
		return []byte(text), false, nil
	}
	return nil, strings.HasPrefix(held, markRecord), nil
}

// takeLeases tries to take a lease for each name. What another one holds, or has
// filled, or a tombstone keeps, gives a lease that is not taken.
func takeLeases(ctx context.Context, r rueidis.Client, epoch int64, names []string) ([]lease, error) {
	leases := make([]lease, len(names))
	calls := make([]rueidis.LuaExec, len(names))
	start, ttl := recordStart(epoch), strconv.FormatInt(leaseTTL.Milliseconds(), 10)
	for i, name := range names {
		leases[i] = lease{name: name, token: markLease + uuid.NewString(), epoch: epoch}
		calls[i] = rueidis.LuaExec{Keys: []string{name}, Args: []string{leases[i].token, start, ttl}}
	}
	for i, reply := range leaseScript.ExecMulti(ctx, r, calls...) {
		switch err := reply.Error(); {
		case err == nil:
			leases[i] = lease{}
		case !rueidis.IsRedisNil(err):
			return nil, err
		}
	}
	return leases, nil
}

// fillLeases stores a record in place of each lease that still stands, for ttl in ms.
func fillLeases(ctx context.Context, r rueidis.Client, script *rueidis.Lua, leases []lease, records [][]byte, ttl int64) error {
	calls := make([]rueidis.LuaExec, len(leases))
	for i, l := range leases {
		args := []string{l.token, recordStart(l.epoch) + string(records[i]), strconv.FormatInt(ttl, 10)}
		calls[i] = rueidis.LuaExec{Keys: []string{l.name}, Args: args}
	}
	for _, reply := range script.ExecMulti(ctx, r, calls...) {
		if err := reply.Error(); err != nil {
			return err
		}
	}
	return nil
}

// Tell makes every copy of keys go that is older than the call: in this process,
// in Redis, where it leaves tombstones, and in the other processes, to which Redis
// pushes it. The drainer of the outbox calls it, and writers do. An error means
// that Redis could not be told; this process has forgotten the keys all the same.
//
// The process forgets first, so that none of its own fills from before the change
// gets a lease behind the tombstone, however long it is held up in between; and
// afterwards, for what it took from Redis meanwhile. Redis pushes neither to it.
func (c *Cache) Tell(ctx context.Context, kind string, keys []Key) error {
	c.forget(kind, keys)
	defer c.forget(kind, keys)
	return c.tellRedis(ctx, kind, keys)
}

// tellRedis leaves the tombstone before the push, which nobody may answer with a
// look at the old record.
func (c *Cache) tellRedis(ctx context.Context, kind string, keys []Key) error {
	return c.try(ctx, func(ctx context.Context, r rueidis.Client) error {
		cmds := make([]rueidis.Completed, 0, 3*len(keys))
		for i := range keys {
			name := c.pushName(kind, &keys[i])
			if !c.opts.without.tombstone {
				cmds = append(cmds, r.B().Set().Key(c.name(kind, &keys[i])).Value(markTombstone).Px(tombstoneTTL).Build())
			}
			cmds = append(cmds,
				r.B().Set().Key(name).Value("").Px(tombstoneTTL).Build(),
				r.B().Del().Key(name).Build()) // its expiry would be pushed, too
		}
		for _, reply := range r.DoMulti(ctx, cmds...) {
			if err := reply.Error(); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *Cache) forget(kind string, keys []Key) {
	for i := range keys {
		c.invalidate(kind, &keys[i])
	}
}
