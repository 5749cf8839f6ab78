package accounts

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// InTx gives the Repo as it is inside a transaction: nothing is answered from the
// cache or put into it, and what caches must forget waits for the commit. It has no
// background work of its own.
func (r *Repo) InTx(primary *strategy.Postgres, ledger Ledger) *Repo {
	in := &Repo{Config: r.Config, queries: r.queries, records: r.records, refreshes: r.refreshes, uses: r.uses, legacy: r.legacy, moments: r.moments, now: r.now, outer: r.outer, changed: r.changed}
	in.Primary, in.Ledger = primary, ledger
	if in.outer == nil { // else this is a savepoint
		in.outer, in.changed = r, new(sync.Map)
	}
	return in
}

// evict makes an account's cached copies go once the primary has committed.
func (r *Repo) evict(ctx context.Context, id uuid.UUID) {
	if r.changed != nil {
		r.changed.Store(id, nil)
	}
	r.Primary.AfterCommit(ctx, func(ctx context.Context) { r.records.Evict(ctx, r.Primary.Clock, cacheKey(id)) })
}

// lookup finds an account's record, inside a transaction by reading its state. The
// copy keeps the key of a hit off the heap.
func (r *Repo) lookup(ctx context.Context, id uuid.UUID) (*record, error) {
	key := cacheKey(id)
	if r.Primary.InTx() {
		inside := key
		return r.load(ctx, &inside)
	}
	return r.records.Get(ctx, &key, r.now())
}

var (
	errResealInTx    = result.New(result.InvalidQuery, "a reseal is many transactions: it does not work inside one")
	errResealOnRedis = result.New(result.InvalidQuery, "accounts are in Redis, whose cipher has one key: there is none to seal them anew with")
	errLocked        = result.Invalid("accountId", "this transaction has changed the account: new tokens could be stored only after its end")
)

// refreshable gives the Repo that refreshes an account. It is never one inside a
// transaction, whose end must not undo what a provider has done: the old refresh
// token may be spent. Nor may a token be fetched whose row the transaction has locked.
func (r *Repo) refreshable(ctx context.Context, id uuid.UUID) (*Repo, error) {
	if r.outer == nil {
		return r, nil
	}
	if _, err := r.onRedis(); err != nil {
		return nil, err
	}
	open := func(context.Context, db.DBTX) error { return nil }
	if err := r.Primary.Read(ctx, open); err != nil {
		return nil, err // the transaction has ended
	}
	if _, locked := r.changed.Load(id); locked {
		return nil, errLocked
	}
	return r.outer, nil
}
