package cache

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

const (
	// group is the consumer group of every journal.
	group = "ledger"
	// readBatch bounds the entries of one flush.
	readBatch = 1000
	// readBlock is how long a read waits for entries: it bounds how long an idle
	// consumer takes to hear that it shall end. readTimeout is for the rest.
	readBlock   = 250 * time.Millisecond
	readTimeout = time.Second
	// goneAfter is how long a consumer without entries is silent before it is
	// forgotten.
	goneAfter = 10 * time.Minute
	// refusedLimit bounds the refused entries; beyond it they stay in the journal.
	refusedLimit = 100_000
)

// readEntry is an entry as a consumer reads it; data is "" for one that no
// Append has made.
type readEntry struct{ id, data string }

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

// readNew reads entries that nobody has read, and waits for some if it may.
func (j *Journal) readNew(ctx context.Context, n int, wait bool) (entries []readEntry, err error) {
	limit := readTimeout
	if wait {
		limit += readBlock
	}
	err = j.do(ctx, limit, func(ctx context.Context, r rueidis.Client) (err error) {
		read := r.B().Xreadgroup().Group(group, j.name).Count(int64(n))
		if wait {
			entries, err = j.read(r.Do(ctx, read.Block(readBlock.Milliseconds()).Streams().Key(j.stream).Id(">").Build()))
			return err
		}
		entries, err = j.read(r.Do(ctx, read.Streams().Key(j.stream).Id(">").Build()))
		return err
	})
	return entries, err
}

// readOwn reads again what this consumer has read and not settled. It also keeps
// others from claiming it.
func (j *Journal) readOwn(ctx context.Context) (entries []readEntry, err error) {
	err = j.do(ctx, readTimeout, func(ctx context.Context, r rueidis.Client) (err error) {
		entries, err = j.read(r.Do(ctx, r.B().Xreadgroup().Group(group, j.name).Count(readBatch).Streams().Key(j.stream).Id("0").Build()))
		return err
	})
	return entries, err
}

// claim takes over entries whose consumers are silent, from a cursor on, and
// gives the next cursor.
func (j *Journal) claim(ctx context.Context, cursor string) (entries []readEntry, next string, err error) {
	err = j.do(ctx, readTimeout, func(ctx context.Context, r rueidis.Client) error {
		reply, err := r.Do(ctx, r.B().Xautoclaim().Key(j.stream).Group(group).Consumer(j.name).
			MinIdleTime(strconv.FormatInt(j.opts.ClaimAfter.Milliseconds(), 10)).Start(cursor).Count(readBatch).Build()).ToArray()
		if err != nil {
			return err
		}
		if next, err = reply[0].ToString(); err != nil {
			return err
		}
		claimed, err := reply[1].AsXRange()
		entries = asEntries(claimed)
		return err
	})
	return entries, next, err
}

// read takes the reply of XREADGROUP.
func (j *Journal) read(reply rueidis.RedisResult) ([]readEntry, error) {
	streams, err := reply.AsXRead()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	return asEntries(streams[j.stream]), err
}

func asEntries(from []rueidis.XRangeEntry) []readEntry {
	entries := make([]readEntry, len(from))
	for i, e := range from {
		entries[i] = readEntry{e.ID, e.FieldValues[field]}
	}
	return entries
}

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

// createGroup makes the group where it is missing. It reads from the beginning:
// what is in the stream is not flushed.
func (j *Journal) createGroup(ctx context.Context) error {
	return j.do(ctx, readTimeout, func(ctx context.Context, r rueidis.Client) error {
		err := r.Do(ctx, r.B().XgroupCreate().Key(j.stream).Group(group).Id("0").Mkstream().Build()).Error()
		if redis, ok := rueidis.IsRedisErr(err); ok && redis.IsBusyGroup() {
			return nil
		}
		return err
	})
}

// groupIsGone holds for what Redis says when the stream or its group was deleted,
// by FLUSHALL for example.
func groupIsGone(err error) bool {
	redis, ok := rueidis.IsRedisErr(err)
	return ok && (strings.HasPrefix(redis.Error(), "NOGROUP ") || strings.HasPrefix(redis.Error(), "UNBLOCKED "))
}
