package apikeys

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/strategy"
)

// InTx gives the Repo as it is inside a transaction: nothing is answered from the
// cache or put into it, and what caches must forget, and the last uses, wait for
// the commit. It has no background work of its own.
func (r *Repo) InTx(primary *strategy.Postgres, ledger Ledger) *Repo {
	in := &Repo{Config: r.Config, queries: r.queries, records: r.records, now: r.now}
	in.Primary, in.Ledger = primary, ledger
	if in.used = r.used; !r.Primary.InTx() { // else a savepoint's uses go the transaction's way
		in.used = &lastUsed{marks: make(map[uuid.UUID]*mark)}
		primary.AfterCommit(context.Background(), func(context.Context) { in.used.moveTo(r.used) })
	}
	return in
}

func (u *lastUsed) moveTo(other *lastUsed) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, m := range u.marks {
		other.mark(id, m.last)
	}
}

// lookup finds a key's record, in Redis and inside a transaction by reading its state.
// The copies keep the caller's hash off the heap: a hit allocates nothing.
func (r *Repo) lookup(ctx context.Context, hash *cache.Key, now time.Time) (*record, error) {
	if s := r.redis(); s != nil {
		inside := *hash
		return s.load(ctx, &inside)
	}
	if r.Primary.InTx() {
		inside := *hash
		return r.load(ctx, &inside)
	}
	return r.records.Get(ctx, hash, now)
}
