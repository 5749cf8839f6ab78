package touches

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// Name is the journal's: it tells its streams from usage's.
const Name = "touches"

const (
	drainPatience = 10 * time.Second
	drainEvery    = 5 * time.Millisecond
)

// Journal holds the entries of all kinds. A nil one takes none.
type Journal struct {
	journal *cache.Journal
	kinds   map[strategy.DataType]*Kind
	paused  func(strategy.DataType) bool
	dropped atomic.Int64
}

// New makes a Journal of j, nil of none. Start comes when each kind is served.
func New(j *cache.Journal) *Journal {
	if j == nil {
		return nil
	}
	return &Journal{journal: j, kinds: make(map[strategy.DataType]*Kind)}
}

// Start flushes in the background until Close. paused tells of the data types whose
// entries have to wait: that are being moved to another primary.
func (j *Journal) Start(paused func(strategy.DataType) bool) {
	if j != nil {
		j.paused = paused
		j.journal.Start(j.flush)
	}
}

// Kind gives that of a data type; nil without a journal.
func (j *Journal) Kind(t strategy.DataType) *Kind {
	if j == nil {
		return nil
	}
	if j.kinds[t] == nil {
		j.kinds[t] = &Kind{journal: j.journal, dataType: t}
	}
	return j.kinds[t]
}

// Health tells how the journal does. It is CacheError when Redis does not answer.
func (j *Journal) Health(ctx context.Context) (cache.JournalHealth, error) {
	h, err := j.journal.Health(ctx)
	if err != nil {
		return cache.JournalHealth{}, result.From(result.CacheError)
	}
	return h, nil
}

// Dropped counts the entries that this process has flushed and that were about nothing any
// more: an account that was deleted or never there, a session that has ended.
func (j *Journal) Dropped() int64 { return j.dropped.Load() }

// Close drains the journal, and tells how many entries remain in it when ctx ends. Those
// are for other processes.
func (j *Journal) Close(ctx context.Context) error {
	if j == nil {
		return nil
	}
	switch remaining := j.journal.Close(ctx); {
	case remaining < 0:
		return result.New(result.CacheError, "the journal does not tell how many touches remain in it")
	case remaining > 0:
		return result.New(result.QueryTimeout, "%d touches remain in the journal, for other processes to flush", remaining).With("remaining", remaining)
	}
	return nil
}

// Drain waits until the entries that there are now are flushed, for 10 s at most; then, and
// where Redis does not tell, it is ReadOnly.
func (j *Journal) Drain(ctx context.Context) error {
	if j == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, drainPatience)
	defer cancel()
	last, err := j.journal.Last(ctx)
	for flushed := false; ; {
		if err == nil {
			flushed, err = j.journal.FlushedTo(ctx, last)
		} else {
			last, err = j.journal.Last(ctx)
		}
		if err == nil && flushed {
			return nil
		}
		select {
		case <-ctx.Done():
			return result.New(result.ReadOnly, "touches wait in the journal: the data type moves when they are flushed")
		case <-time.After(drainEvery):
		}
	}
}

// flush stores entries, each kind's at once, all kinds at the same time.
func (j *Journal) flush(entries []string) []error {
	outcomes := make([]error, len(entries))
	mine := make(map[*Kind]*batch)
	for i, text := range entries {
		t, body, err := decode(text)
		kind := j.kinds[t]
		if err == nil && (kind == nil || kind.store == nil) {
			err = errNotAnEntry
		}
		if err != nil {
			outcomes[i] = &cache.RefusedError{Reason: err.Error()}
			continue
		}
		if mine[kind] == nil {
			mine[kind] = &batch{}
		}
		mine[kind].add(i, body)
	}
	var storing sync.WaitGroup
	for kind, b := range mine {
		storing.Go(func() {
			errs := make([]error, len(b.bodies))
			if j.paused(kind.dataType) {
				fill(errs, errPaused)
			} else {
				j.dropped.Add(int64(kind.store(b.bodies, errs)))
			}
			for n, err := range errs {
				outcomes[b.at[n]] = err
			}
		})
	}
	storing.Wait()
	return outcomes
}

var errPaused = result.New(result.ReadOnly, "the data type's primary is being switched")

// batch are the entries of one kind, and their places among all.
type batch struct {
	at     []int
	bodies [][]byte
}

func (b *batch) add(at int, body []byte) {
	b.at, b.bodies = append(b.at, at), append(b.bodies, body)
}

func fill(errs []error, err error) {
	for i := range errs {
		errs[i] = err
	}
}
