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
