package usage

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

const (
	// redisBatch bounds the records of one round trip, at about 5 KiB each.
	redisBatch = 256
	// ownRepeats is how long a record without a RequestID is remembered, for the
	// library's own retries: they end with OpTimeout.
	ownRepeats = time.Minute
)

// maxRedisCost is what the micro-dollar fields can count, as JavaScript's numbers.
var maxRedisCost = decimal.New(9, 9)

// onRedis gives the Redis that is the primary. Inside a transaction there is none: the
// fence refuses what is asked there.
func (r *Repo) onRedis() *strategy.Redis {
	if r.Primary.InTx() {
		return nil
	}
	return r.Place.Redis()
}

// writeRedis counts entries in a Redis primary.
func (r *Repo) writeRedis(ctx context.Context, redis *strategy.Redis, entries []entry) []*waiting {
	all, _ := await(entries)
	if !r.writer.enter() {
		refuse(all, errClosed)
		return all
	}
	defer r.writer.leave()
	mustExist := r.Keys.Redis() != nil
	for batch := range slices.Chunk(countable(all), redisBatch) {
		if err := ctx.Err(); err != nil {
			refuse(batch, err)
			continue
		}
		r.writer.batches.add(len(batch))
		r.countOnRedis(ctx, redis, batch, mustExist)
	}
	return all
}

func refuse(all []*waiting, err error) {
	for _, w := range all {
		w.outcome.err = err
	}
}

// countable leaves out what is refused.
func countable(all []*waiting) []*waiting {
	todo := make([]*waiting, 0, len(all))
	for _, w := range all {
		if w.Cost.Decimal().Cmp(maxRedisCost) > 0 {
			w.outcome.err = result.Invalid("cost", "must be at most %s where the primary is Redis", maxRedisCost)
			continue
		}
		todo = append(todo, w)
	}
	return todo
}

// countOnRedis counts a batch. A record that is repeated after a lost answer finds itself
// there.
func (r *Repo) countOnRedis(ctx context.Context, redis *strategy.Redis, batch []*waiting, mustExist bool) {
	calls := make([]strategy.Call, len(batch))
	for i, w := range batch {
		calls[i] = redisCall(&w.entry, redis.Zone, r.RequestIDWindow, mustExist)
	}
	_ = redis.Retry.Do(ctx, func() error {
		replies := redis.WriteAll(ctx, strategy.Usage, recordScript, calls)
		var lost error
		left, leftCalls := batch[:0:0], calls[:0:0]
		for i, w := range batch {
			w.outcome = redisOutcome(replies[i])
			if err := w.outcome.err; errors.Is(err, result.ConnectionFailed) {
				lost, w.unsure = err, w.unsure || result.From(err).Details["outcomeUnknown"] == true
				left, leftCalls = append(left, w), append(leftCalls, calls[i])
			}
		}
		batch, calls = left, leftCalls
		return lost
	}, func(error) bool { return true })
}

func redisOutcome(reply strategy.Reply) outcome {
	if reply.Err != nil {
		return outcome{err: reply.Err}
	}
	switch word, err := reply.ToString(); {
	case err != nil:
		return outcome{err: err}
	case word == "UNKNOWN":
		return outcome{unknown: true}
	default:
		return outcome{duplicate: word == "DUPLICATE"}
	}
}
