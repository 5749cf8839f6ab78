package apikeys

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// maxPlaintext is longer than any client's key.
const maxPlaintext = 1024

// ValidateAPIKey says what a key may do now, by its hash (64 hex digits, see
// [HashPlaintext]). A disabled or expired key is a success with IsActive false;
// an unknown or deleted one is RecordNotFound. The first validation of a key in
// activation mode starts its life. A cached answer costs no allocation and no
// network. Where misses wait too long for PostgreSQL, it is PoolExhausted.
func (r *Repo) ValidateAPIKey(ctx context.Context, hashedKey string) (v result.Result[Validation]) {
	hash, err := parseHash(hashedKey)
	if err != nil {
		return result.Fail[Validation](err)
	}
	now := r.now()
	rec, err := r.find(ctx, &hash, now)
	r.answer(&v, rec, err, now)
	return v
}

// ValidatePlaintext is ValidateAPIKey for the key that a client sent. Where the
// legacy scheme is on and only the legacy hash is known, the native one is added,
// so that the next validation needs one look-up.
func (r *Repo) ValidatePlaintext(ctx context.Context, plaintext string) (v result.Result[Validation]) {
	if plaintext == "" || len(plaintext) > maxPlaintext {
		return result.Fail[Validation](errUnknown)
	}
	native, legacy := r.bothHashes(plaintext)
	now := r.now()
	rec, err := r.find(ctx, (*cache.Key)(native), now)
	if legacy != nil && errors.Is(err, result.RecordNotFound) {
		now = r.now() // the first look-up may have taken a while, and a cache ages
		if rec, err = r.find(ctx, (*cache.Key)(legacy), now); err == nil {
			_ = r.addNativeHash(ctx, rec.ID, native) // the answer does not hang on it: the next call tries again
		}
	}
	r.answer(&v, rec, err, now)
	return v
}

// errUnknown is made once: a stranger's key must cost no more than a client's.
var errUnknown = result.From(result.RecordNotFound)

// find gives a key's record, whose life it starts where it waits for that, or
// errUnknown.
func (r *Repo) find(ctx context.Context, hash *cache.Key, now time.Time) (*record, error) {
	rec, err := r.lookup(ctx, hash, now)
	switch {
	case err != nil:
		return nil, strategy.Overload(err)
	case rec == nil:
		return nil, errUnknown
	case rec.waits():
		return r.activate(ctx, rec, *hash, now)
	}
	return rec, nil
}

// answer says what find found, and notes a use, the first of each minute: every
// other one costs a load. It answers into v, since a Result that is passed on by
// value is copied each time, which a hit would feel.
func (r *Repo) answer(v *result.Result[Validation], rec *record, err error, now time.Time) {
	if err != nil {
		*v = result.Fail[Validation](err)
		return
	}
	nanos := now.UnixNano()
	if !rec.activeAt(nanos) && !rec.waits() {
		rec.answer(v.Data(), false)
		return
	}
	if due := rec.due.Load(); nanos >= due && rec.due.CompareAndSwap(due, nanos+int64(usedEvery)) {
		r.used.mark(rec.ID, now)
	}
	rec.answer(v.Data(), true)
}

// load reads a key from the primary; nil means that there is none.
func (r *Repo) load(ctx context.Context, hash *cache.Key) (*record, error) {
	var row db.APIKeyGetByHashRow
	err := r.Primary.Retrying(1).Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		row, err = r.queries.APIKeyGetByHash(ctx, c, hash[:])
		return err
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return newRecord(known{
		ID:             row.ID,
		Permissions:    row.Permissions,
		IsActive:       row.IsActive,
		ExpiresAt:      utc(row.ExpiresAt),
		Activates:      row.ExpirationMode == expirationActivation && row.ActivatedAt == nil,
		ActivationDays: row.ActivationDays,
		ActivationUnit: row.ActivationUnit,
		Concurrency:    row.ConcurrencyLimit,
		Daily:          money(row.DailyCostLimit),
		Requests:       row.RateLimitRequests,
	}), nil
}

// activate starts the key's life. Of several first validations one wins, and all
// answer what it stored.
func (r *Repo) activate(ctx context.Context, rec *record, hash cache.Key, now time.Time) (*record, error) {
	return strategy.Follow(func() (*record, error) { return r.activateOnce(ctx, rec, hash, now) })
}

func (r *Repo) activateOnce(ctx context.Context, rec *record, hash cache.Key, now time.Time) (*record, error) {
	if s := r.redis(); s != nil {
		return s.activate(ctx, rec, &hash, now)
	}
	now = now.UTC().Truncate(time.Microsecond)
	ends := rec.activatedUntil(now)
	err := r.write(ctx, func(ctx context.Context, tx db.DBTX) ([][]byte, error) {
		row, err := r.queries.APIKeyActivate(ctx, tx, db.APIKeyActivateParams{ID: rec.ID, Now: now, ExpiresAt: ends})
		if errors.Is(err, pgx.ErrNoRows) {
			return [][]byte{hash[:]}, nil // somebody else was first, or the key has changed
		}
		return [][]byte{row.HashedKey, row.LegacyHash}, err
	})
	if err != nil {
		return nil, err
	}
	fresh, err := r.load(ctx, &hash)
	if err == nil && fresh == nil {
		return nil, errUnknown
	}
	return fresh, err
}

func (r *Repo) addNativeHash(ctx context.Context, id uuid.UUID, native []byte) error {
	return strategy.Followed(func() error {
		if s := r.redis(); s != nil {
			return s.addNativeHash(ctx, id, native)
		}
		return r.write(ctx, func(ctx context.Context, tx db.DBTX) ([][]byte, error) {
			return [][]byte{native}, r.queries.APIKeyAddHash(ctx, tx, db.APIKeyAddHashParams{ID: id, HashedKey: native})
		})
	})
}
