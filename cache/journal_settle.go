package cache

import (
	"context"
	"strconv"

	"github.com/redis/rueidis"
)

var (
	// settleScript takes flushed entries out, and moves refused ones that are still
	// to be settled: another consumer may have done so. ARGV: the group, the limit
	// of refused ones, how many are flushed, their ids, and id and reason of each
	// refused one. It gives how many refused ones there was no room for.
	settleScript = rueidis.NewLuaScript(`
local done = 3 + tonumber(ARGV[3])
if done > 3 then
	redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, 4, done))
	redis.call('XDEL', KEYS[1], unpack(ARGV, 4, done))
end
local left = 0
for i = done + 1, #ARGV, 2 do
	local id = ARGV[i]
	local pending = #redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1) > 0
	if pending and redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[2]) then
		left = left + 1
	elseif pending then
		local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
		local fields = entry and entry[2] or {}
		redis.call('XADD', KEYS[2], '*', 'reason', ARGV[i + 1], 'id', id, unpack(fields, 1, math.min(#fields, 1000)))
		redis.call('XACK', KEYS[1], ARGV[1], id)
		redis.call('XDEL', KEYS[1], id)
	end
end
return left`)

	// forgetScript deletes consumers without entries that have been silent for
	// ARGV[2] ms, and this one, ARGV[3], whenever it has none.
	forgetScript = rueidis.NewLuaScript(`
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
	local c = {}
	for i = 1, #info, 2 do c[info[i]] = info[i + 1] end
	if c.pending == 0 and (c.name == ARGV[3] or c.idle >= tonumber(ARGV[2])) then
		redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], c.name)
	end
end
return 0`)
)

// settle takes out what is flushed and moves what is refused. It tells how many
// refused ones stay, for want of room.
func (j *Journal) settle(ctx context.Context, flushed []string, refused [][2]string) (left int64, err error) {
	args := make([]string, 0, 3+len(flushed)+2*len(refused))
	args = append(args, group, strconv.Itoa(j.opts.refusedLimit), strconv.Itoa(len(flushed)))
	args = append(args, flushed...)
	for _, r := range refused {
		args = append(args, r[0], r[1])
	}
	err = j.do(ctx, readTimeout, func(ctx context.Context, r rueidis.Client) (err error) {
		left, err = settleScript.Exec(ctx, r, []string{j.stream, j.refused}, args).AsInt64()
		return err
	})
	return left, err
}

// forget deletes the consumers that are gone; its own with own.
func (j *Journal) forget(ctx context.Context, own bool) error {
	name := ""
	if own {
		name = j.name
	}
	return j.do(ctx, readTimeout, func(ctx context.Context, r rueidis.Client) error {
		return forgetScript.Exec(ctx, r, []string{j.stream}, []string{group, strconv.FormatInt(j.opts.goneAfter.Milliseconds(), 10), name}).Error()
	})
}
