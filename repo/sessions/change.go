package sessions

import (
	"context"
	"time"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/dbtype"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// UpdateSession replaces the data, or sets the end anew, of a session that has not
// ended; one that has is RecordNotFound, like an unknown one. When it has returned,
// no call of this process gives the older session, but for one case: under write_behind, a
// later end alone, of a session that goes on for a minute at least, waits in the journal,
// and ValidateSession gives the earlier end until that is flushed. It never brings a
// session back that has ended meanwhile, or that somebody has made to end sooner than this
// caller saw; of later ends the latest lasts.
func (r *Repo) UpdateSession(ctx context.Context, sessionToken string, patch Patch) result.Result[Updated] {
	return result.Of(strategy.Follow(func() (Updated, error) { return r.update(ctx, sessionToken, patch) }))
}

func (r *Repo) update(ctx context.Context, token string, patch Patch) (Updated, error) {
	key, err := keyOf(token)
	if err != nil {
		return Updated{}, err
	}
	if err := patch.check(r.MaxSessionData); err != nil {
		return Updated{}, err
	}
	p := db.SessionUpdateParams{TokenHash: key[:], SessionData: dbtype.JSON(patch.SessionData), Now: r.now().UTC()}
	if patch.ExtendTTL != 0 {
		ends := p.Now.Add(patch.ExtendTTL).Truncate(time.Microsecond)
		p.ExpiresAt = &ends
	}
	if s := r.redis(); s != nil {
		ends, err := s.update(ctx, key, patch, p.Now, p.ExpiresAt)
		return Updated{ExpiresAt: ends}, err
	}
	ctx, cancel := r.Primary.Bounded(ctx) // both ways together
	defer cancel()
	acknowledged, unsure := r.touch(ctx, key, &patch, p.Now, p.ExpiresAt)
	if acknowledged {
		return Updated{ExpiresAt: *p.ExpiresAt}, nil
	}
	var ends time.Time
	err = r.write(ctx, func(ctx context.Context, tx db.DBTX) (_ []cache.Key, err error) {
		ends, err = r.queries.SessionUpdate(ctx, tx, p)
		return []cache.Key{key}, err
	})
	switch {
	case err != nil && unsure:
		return Updated{}, result.From(err).With("outcomeUnknown", true)
	case err != nil:
		return Updated{}, err
	}
	return Updated{ExpiresAt: ends.UTC()}, nil
}

// DeleteSession ends a session at once, also one that has ended by itself and is
// still stored; a second delete is RecordNotFound.
func (r *Repo) DeleteSession(ctx context.Context, sessionToken string) result.Status {
	key, err := keyOf(sessionToken)
	if err != nil {
		return result.StatusOf(err)
	}
	return result.StatusOf(strategy.Followed(func() error { return r.delete(ctx, key) }))
}

func (r *Repo) delete(ctx context.Context, key cache.Key) error {
	if s := r.redis(); s != nil {
		return s.delete(ctx, key)
	}
	return r.write(ctx, func(ctx context.Context, tx db.DBTX) ([]cache.Key, error) {
		_, err := r.queries.SessionDeleteByHash(ctx, tx, key[:])
		return []cache.Key{key}, err
	})
}
