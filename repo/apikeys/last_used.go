package apikeys

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
)

const (
	// A key's last use is stored at most once in usedEvery.
	usedEvery = time.Minute
	// usedFlush is how often what is due is stored.
	usedFlush = time.Second
	// maxUsed bounds the keys remembered; a key beyond it is noted at a later use.
	maxUsed = 100_000
	// usedBatch bounds one statement: 100,000 rows in one outlast its deadline, and
	// would be tried as a whole for ever.
	usedBatch = 1000
)

// lastUsed gathers the last uses of keys and stores them in batches.
type lastUsed struct {
	store func(ctx context.Context, at map[uuid.UUID]time.Time) error
	mu    sync.Mutex
	marks map[uuid.UUID]*mark
	stop  context.CancelFunc
	done  chan struct{}
}

type mark struct{ last, stored time.Time }

func newLastUsed(store func(context.Context, map[uuid.UUID]time.Time) error) *lastUsed {
	ctx, stop := context.WithCancel(context.Background())
	u := &lastUsed{store: store, marks: make(map[uuid.UUID]*mark), stop: stop, done: make(chan struct{})}
	go u.run(ctx)
	return u
}

func (u *lastUsed) mark(id uuid.UUID, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if m := u.marks[id]; m != nil {
		m.last = now
	} else if len(u.marks) < maxUsed {
		u.marks[id] = &mark{last: now}
	}
}

func (u *lastUsed) run(ctx context.Context) {
	defer close(u.done)
	tick := time.NewTicker(usedFlush)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			_ = u.flush(ctx, now.Add(-usedEvery)) // what is not stored stays due
		}
	}
}

// flush stores the uses of keys that were last stored before due, and forgets
// keys that have not been used since they were stored.
func (u *lastUsed) flush(ctx context.Context, due time.Time) error {
	at := u.due(due)
	ids := slices.Collect(maps.Keys(at))
	for batch := range slices.Chunk(ids, usedBatch) {
		if err := u.storeBatch(ctx, batch, at); err != nil {
			return err
		}
	}
	return nil
}

func (u *lastUsed) storeBatch(ctx context.Context, ids []uuid.UUID, at map[uuid.UUID]time.Time) error {
	part := make(map[uuid.UUID]time.Time, len(ids))
	for _, id := range ids {
		part[id] = at[id]
	}
	if err := u.store(ctx, part); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, t := range part {
		u.marks[id].stored = t
	}
	return nil
}

func (u *lastUsed) due(due time.Time) map[uuid.UUID]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	at := make(map[uuid.UUID]time.Time)
	for id, m := range u.marks {
		switch {
		case !m.stored.Before(due):
		case m.last.After(m.stored):
			at[id] = m.last
		default:
			delete(u.marks, id)
		}
	}
	return at
}

func (u *lastUsed) close(ctx context.Context) error {
	u.stop()
	<-u.done
	return u.flush(ctx, time.Now().Add(usedEvery))
}

func (r *Repo) storeLastUsed(ctx context.Context, at map[uuid.UUID]time.Time) error {
	if s := r.redis(); s != nil {
		return s.storeLastUsed(ctx, at)
	}
	var p db.APIKeyLastUsedUpsertParams
	for id, t := range at {
		p.APIKeyIds = append(p.APIKeyIds, id)
		p.Times = append(p.Times, t)
	}
	return r.Primary.Retrying(0).Append(ctx, func(ctx context.Context, c db.DBTX) error {
		return r.queries.APIKeyLastUsedUpsert(ctx, c, p)
	})
}
