package sessions

import (
	"context"
	"time"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/dbtype"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// UpdateSession replaces the data, or sets the end anew, of a session that has not
// ended; one that has is RecordNotFound, like an unknown one. When it has returned,
// no call of this process gives the older session.
func (r *Repo) UpdateSession(ctx context.Context, sessionToken string, patch Patch) result.Result[Updated] {
	return result.Of(r.update(ctx, sessionToken, patch))
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
	var ends time.Time
	err = r.write(ctx, func(ctx context.Context, tx db.DBTX) (_ []cache.Key, err error) {
		ends, err = r.queries.SessionUpdate(ctx, tx, p)
		return []cache.Key{key}, err
	})
	if err != nil {
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
	if s := r.redis(); s != nil {
		return result.StatusOf(s.delete(ctx, key))
	}
	return result.StatusOf(r.write(ctx, func(ctx context.Context, tx db.DBTX) ([]cache.Key, error) {
		_, err := r.queries.SessionDeleteByHash(ctx, tx, key[:])
		return []cache.Key{key}, err
	}))
}
