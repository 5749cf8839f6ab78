package usage

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// maxKnocking is how many calls of a process try again at the same time while
	// the journal is full; the others wait for them. Each tries after these pauses.
	maxKnocking   = 16
	shortestKnock = 10 * time.Millisecond
	longestKnock  = 200 * time.Millisecond
)

// journaled waits for room in a full journal, until ctx ends or, without a
// deadline, for OpTimeout.
func (b *behind) journaled(ctx context.Context, entries []entry) []*waiting {
	all := b.writer.write(ctx, entries)
	full := turnedAway(all)
	if len(full) == 0 {
		return all
	}
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.repo.Primary.OpTimeout)
		defer cancel()
	}
	if b.knocking.Acquire(ctx, 1) == nil {
		full = b.knock(ctx, all, full)
		b.knocking.Release(1)
	}
	for _, i := range full {
		all[i].outcome.err = result.New(result.PoolExhausted, "the journal was full until the deadline")
		if errors.Is(ctx.Err(), context.Canceled) {
			all[i].outcome.err = ctx.Err()
		}
	}
	return all
}

// knock tries again with the entries that were turned away, and gives those that
// were to the end.
func (b *behind) knock(ctx context.Context, all []*waiting, full []int) []int {
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = shortestKnock, longestKnock
	for len(full) > 0 && ctx.Err() == nil {
		pause(ctx, delays.NextBackOff())
		again := make([]entry, len(full))
		for i, at := range full {
			again[i] = all[at].entry
		}
		for i, w := range b.writer.write(ctx, again) {
			all[full[i]] = w
		}
		full = turnedAway(all)
	}
	return full
}

// turnedAway finds the entries for which the journal had no room.
func turnedAway(all []*waiting) (at []int) {
	for i, w := range all {
		if errors.Is(w.outcome.err, errJournalFull) {
			at = append(at, i)
		}
	}
	return at
}
