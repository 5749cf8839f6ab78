package usage

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// behind records under write_behind: calls that come together share a round trip
// to the journal, and the ledger gets their records later.
type behind struct {
	repo     *Repo
	journal  *cache.Journal
	writer   *writer
	knocking *semaphore.Weighted
}

var errJournalFull = errors.New("the journal is full")

func newBehind(r *Repo, j *cache.Journal) *behind {
	b := &behind{repo: r, journal: j, knocking: semaphore.NewWeighted(maxKnocking)}
	b.writer = newWriter(r.Primary.OpTimeout, b.append)
	return b
}

// write gives the outcomes of entries, under write_behind once the journal has
// them. Those whose primary has moved under way follow it.
func (r *Repo) write(ctx context.Context, entries []entry) []*waiting {
	all := r.writeHere(ctx, entries)
	if len(moved(all)) == 0 {
		return all
	}
	ctx, cancel := r.Primary.Bounded(ctx)
	defer cancel()
	for at := moved(all); len(at) > 0; at = moved(all) {
		again := make([]entry, len(at))
		for i, n := range at {
			again[i] = all[n].entry
		}
		for i, w := range r.writeHere(ctx, again) {
			all[at[i]] = w
		}
	}
	return all
}

// moved finds the entries that have changed nothing, for their primary is another now.
func moved(all []*waiting) (at []int) {
	for i, w := range all {
		if !w.unsure && errors.Is(w.outcome.err, strategy.ErrMoved) {
			at = append(at, i)
		}
	}
	return at
}

func (r *Repo) writeHere(ctx context.Context, entries []entry) []*waiting {
	redis := r.onRedis()
	switch {
	case redis != nil:
		ctx, cancel := r.Primary.Bounded(ctx)
		defer cancel()
		return r.ofKnownKeys(ctx, r.Keys.Redis() == nil, entries, func(ctx context.Context, known []entry) []*waiting {
			return r.writeRedis(ctx, redis, known)
		})
	case r.Primary.InTx():
		ctx, cancel := r.Primary.Bounded(ctx)
		defer cancel()
		return r.ofKnownKeys(ctx, r.Keys.Redis() != nil, entries, r.writeInTx)
	case r.behind == nil || r.through.Load():
		return r.ofKnownKeys(ctx, r.Keys.Redis() != nil, entries, r.writer.write)
	}
	return r.ofKnownKeys(ctx, true, entries, r.behind.journaled)
}

// ofKnownKeys writes the entries whose keys exist; all of them where it need not look,
// because the statement does.
func (r *Repo) ofKnownKeys(ctx context.Context, look bool, entries []entry, write func(context.Context, []entry) []*waiting) []*waiting {
	var unknown map[uuid.UUID]struct{}
	if look {
		unknown = r.keys.unknown(ctx, entries)
	}
	if len(unknown) == 0 {
		return write(ctx, entries)
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
		for i, w := range write(ctx, rest) {
			all[at[i]] = w
		}
	}
	return all
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
	b.repo.commitAll(b.writer, batch)
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
