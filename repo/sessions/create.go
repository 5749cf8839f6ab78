package sessions

import (
	"cmp"
	"context"
	"crypto/sha256"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/dbtype"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// CreateSession stores a new session and gives its token, this once. Wrong input is
// InvalidQuery and names the field. After an outcomeUnknown a session may be stored
// whose token nobody has; it ends by itself.
func (r *Repo) CreateSession(ctx context.Context, data Data) result.Result[Created] {
	return result.Of(r.create(ctx, data))
}

func (r *Repo) create(ctx context.Context, data Data) (Created, error) {
	ip, err := data.check(r.MaxSessionData)
	if err != nil {
		return Created{}, err
	}
	token, now := newToken(), r.now().UTC().Truncate(time.Microsecond)
	hash := sha256.Sum256([]byte(token))
	ends := now.Add(cmp.Or(data.TTL, DefaultTTL)).Truncate(time.Microsecond)
	created := Created{SessionToken: token, ExpiresAt: ends}
	if s := r.redis(); s != nil {
		if err := s.create(ctx, hash, &data, textOf(ip), now, ends); err != nil {
			return Created{}, err
		}
		return created, nil
	}
	// No copy has to go: nobody can have asked for the token yet, but before the commit
	// of a transaction.
	var stale []cache.Key
	if r.Primary.InTx() {
		stale = []cache.Key{hash}
	}
	err = r.write(ctx, func(ctx context.Context, tx db.DBTX) ([]cache.Key, error) {
		return stale, r.queries.SessionInsert(ctx, tx, db.SessionInsertParams{
			ID: uuid.Must(uuid.NewV7()), TokenHash: hash[:], UserID: data.UserID, UserType: string(data.UserType),
			SessionData: dbtype.JSON(data.SessionData), IpAddress: ip, UserAgent: data.UserAgent,
			CreatedAt: now, ExpiresAt: ends,
		})
	})
	if err != nil {
		return Created{}, err
	}
	return created, nil
}
