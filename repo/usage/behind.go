package usage

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/semaphore"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// maxKnocking is how many calls of a process try again at the same time while
	// the journal is full; the others wait for them. Each tries after these pauses.
	maxKnocking   = 16
	shortestKnock = 10 * time.Millisecond
	longestKnock  = 200 * time.Millisecond
)

// behind records under write_behind: calls that come together share a round trip
// to the journal, and the ledger gets their records later.
type behind struct {
	repo     *Repo
	journal  *cache.Journal
	writer   *writer
	keys     *knownKeys
	knocking *semaphore.Weighted
}

var errJournalFull = errors.New("the journal is full")

func newBehind(r *Repo, j *cache.Journal) *behind {
	b := &behind{repo: r, journal: j, keys: newKnownKeys(r), knocking: semaphore.NewWeighted(maxKnocking)}
	b.writer = newWriter(b.append)
	return b
}

// write gives the outcomes of entries, under write_behind once the journal has
// them.
func (r *Repo) write(ctx context.Context, entries []entry) []*waiting {
	if r.behind == nil {
		return r.writer.write(ctx, entries)
	}
	return r.behind.write(ctx, entries)
}

// write leaves out the entries of unknown keys.
func (b *behind) write(ctx context.Context, entries []entry) []*waiting {
	unknown := b.keys.unknown(ctx, entries)
	if len(unknown) == 0 {
		return b.journaled(ctx, entries)
	}
	all := make([]*waiting, len(entries))
	var rest []entry
	var at []int
	for i, e := range entries {
		if _, is := unknown[e.key]; is {
			all[i] = &waiting{entry: e, outcome: outcome{unknown: true}}
			continue
		}
		rest, at = append(rest, e), append(at, i)
	}
	if len(rest) > 0 {
		for i, w := range b.journaled(ctx, rest) {
			all[at[i]] = w
		}
	}
	return all
}

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

// append puts a batch into the journal. Where that does not work, the batch is
// written through under the same ids, so that entries which the journal has
// nevertheless count once.
func (b *behind) append(batch []*waiting) {
	data := make([][]byte, len(batch))
	for i, w := range batch {
		data[i] = w.encode()
	}
	n, err := b.journal.Append(context.Background(), data)
	if err != nil {
		b.writeThrough(batch, errors.Is(err, cache.ErrJournalUnsure))
		return
	}
	for i, w := range batch {
		if i < n {
			w.finish(outcome{})
		} else {
			w.finish(outcome{err: errJournalFull})
		}
	}
}

func (b *behind) writeThrough(batch []*waiting, unsure bool) {
	for _, w := range batch {
		w.unsure = unsure
	}
	b.repo.commit(batch)
}

// close takes no more records, drains the journal, and tells how many remain in
// it when ctx ends.
func (b *behind) close(ctx context.Context) error {
	err := b.writer.close(ctx)
	switch remaining := b.journal.Close(ctx); {
	case remaining < 0:
		return errors.Join(err, result.New(result.CacheError, "the journal does not tell how many usage records remain in it"))
	case remaining > 0:
		return errors.Join(err, result.New(result.QueryTimeout, "%d usage records remain in the journal, for other processes to flush", remaining).
			With("remaining", remaining))
	}
	return err
}

// oldestUnflushed is the age of the oldest record in the journal in ms, rounded
// up, 0 when there is none and -1 when the journal does not answer. Asked before
// the ledger is read, 0 means that the figures have everything.
func (r *Repo) oldestUnflushed(ctx context.Context) int64 {
	if r.behind == nil {
		return 0
	}
	switch age, err := r.behind.journal.Oldest(ctx); {
	case err != nil:
		return -1
	case age < 0:
		return 0
	default:
		return age.Milliseconds() + 1
	}
}

// result is the outcome as the caller is told: a failure may hide that the journal
// has the record.
func (w *waiting) result() outcome {
	o := w.outcome
	if w.unsure && o.err != nil {
		o.err = result.From(o.err).With("outcomeUnknown", true)
	}
	return o
}

// JournalHealth says how the journal does, what is not flushed, and what a death of
// its Redis may cost. It is InvalidQuery under write_through, and CacheError when
// Redis does not answer.
func (r *Repo) JournalHealth(ctx context.Context) (cache.JournalHealth, error) {
	if r.behind == nil {
		return cache.JournalHealth{}, result.New(result.InvalidQuery, "usage is written through: there is no journal")
	}
	h, err := r.behind.journal.Health(ctx)
	if err != nil {
		return cache.JournalHealth{}, result.From(result.CacheError)
	}
	return h, nil
}
