package sessions

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// ValidateSession says whose session a token opens now. One that has ended but is
// still stored is a success with IsValid false; an unknown or deleted one is
// RecordNotFound; a text that cannot be any token (empty, longer than 1,024
// characters, not UTF-8, with a NUL) is InvalidQuery. A cached answer costs no
// network; a session that has ended, or whose data is larger than 4 KiB, is read
// from PostgreSQL each time. Where such reads and misses wait too long for it, it is
// PoolExhausted.
func (r *Repo) ValidateSession(ctx context.Context, sessionToken string) result.Result[Validation] {
	return result.Of(r.validate(ctx, sessionToken))
}

func (r *Repo) validate(ctx context.Context, token string) (Validation, error) {
	key, err := keyOf(token)
	if err != nil {
		return Validation{}, err
	}
	now := r.now()
	rec, err := r.find(ctx, &key, now)
	switch {
	case err != nil:
		return Validation{}, strategy.Overload(err)
	case rec == nil:
		return Validation{}, errUnknown
	}
	return rec.answer(now), nil
}

// find gives a session's whole record, or nil, in Redis and inside a transaction by
// reading its state. The copies keep the key of a hit off the heap.
func (r *Repo) find(ctx context.Context, key *cache.Key, now time.Time) (*record, error) {
	if s := r.redis(); s != nil {
		inside := *key
		return s.load(ctx, &inside)
	}
	if r.Primary.InTx() {
		inside := *key
		return r.load(ctx, &inside)
	}
	if r.Cache == nil {
		return r.uncached.Get(ctx, key, now)
	}
	rec, err := r.records.Get(ctx, key, now)
	if err != nil || rec == nil || rec.validAt(now) && !rec.Large {
		return rec, err
	}
	return r.ask(ctx, key, rec, now)
}

// ask takes to the primary what the cache cannot answer: data that it does not
// keep, and whether a session that has ended is still stored, since a cleanup tells
// nobody. Callers of one session share it, and it waits for its turn as misses do.
func (r *Repo) ask(ctx context.Context, key *cache.Key, kept *record, now time.Time) (*record, error) {
	rec, err := r.uncached.Get(ctx, key, now)
	switch {
	case err == nil && rec == nil:
		r.evict(ctx, *key)
	case err != nil && !kept.Large && strategy.Down(strategy.Overload(err)):
		return kept, nil // that it has ended is certain
	}
	return rec, err
}

// load reads a session from the primary; nil means that there is none.
func (r *Repo) load(ctx context.Context, key *cache.Key) (*record, error) {
	var row db.SessionGetByHashRow
	err := r.Primary.Retrying(1).Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		row, err = r.queries.SessionGetByHash(ctx, c, key[:])
		return err
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	k := known{UserID: row.UserID, UserType: UserType(row.UserType), ExpiresAt: row.ExpiresAt.UTC()}
	return &record{known: k, data: row.SessionData}, nil
}

func (r *Repo) loadKept(ctx context.Context, key *cache.Key) (*record, error) {
	rec, err := r.load(ctx, key)
	if rec == nil {
		return nil, err
	}
	return rec.kept(), nil
}
