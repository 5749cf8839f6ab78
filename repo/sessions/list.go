package sessions

import (
	"context"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	defaultPage = 50
	maxPage     = 1000
)

// ListSessions gives the newest stored sessions, ended ones included. The contract
// has no such method; it is for operators, and shows neither tokens nor data.
func (r *Repo) ListSessions(ctx context.Context, f Filters) result.Result[Page] {
	return result.Of(r.list(ctx, f))
}

func (r *Repo) list(ctx context.Context, f Filters) (Page, error) {
	before, err := f.normalise()
	if err != nil {
		return Page{}, err
	}
	if s := r.redis(); s != nil {
		return s.list(ctx, f, before, r.now())
	}
	now, limit := r.now(), int32(f.Limit) //nolint:gosec // normalise bounds it
	page := Page{Sessions: []Session{}}
	err = r.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) error {
		page.Sessions = page.Sessions[:0]
		if f.UserID == "" {
			rows, err := r.queries.SessionList(ctx, c, db.SessionListParams{Before: before, RowLimit: limit})
			for _, row := range rows {
				page.Sessions = append(page.Sessions, fromRow(row, now))
			}
			return err
		}
		rows, err := r.queries.SessionListByUser(ctx, c, db.SessionListByUserParams{UserID: f.UserID, Before: before, RowLimit: limit})
		for _, row := range rows {
			page.Sessions = append(page.Sessions, fromRow(db.SessionListRow(row), now))
		}
		return err
	})
	if err != nil {
		return Page{}, err
	}
	return page, nil
}

func (f *Filters) normalise() (before uuid.UUID, err error) {
	if f.Limit == 0 {
		f.Limit = defaultPage
	}
	if f.Limit < 1 || f.Limit > maxPage {
		return before, result.Invalid("limit", "must lie between 1 and %d", maxPage)
	}
	if f.UserID != "" {
		if err := checkUserID(f.UserID); err != nil {
			return before, err
		}
	}
	if f.Before == "" {
		return uuid.Max, nil
	}
	return result.ParseID("before", f.Before)
}

func fromRow(row db.SessionListRow, now time.Time) Session {
	s := Session{
		ID: row.ID.String(), UserID: row.UserID, UserType: UserType(row.UserType), UserAgent: row.UserAgent,
		CreatedAt: row.CreatedAt.UTC(), ExpiresAt: row.ExpiresAt.UTC(), IsValid: now.Before(row.ExpiresAt),
	}
	s.IPAddress = textOf(row.IpAddress)
	return s
}

func textOf(ip *netip.Addr) string {
	if ip == nil {
		return ""
	}
	return ip.String()
}

// RevokeSession is DeleteSession for an operator, who has the id and not the token.
func (r *Repo) RevokeSession(ctx context.Context, id string) result.Status {
	parsed, err := result.ParseID("id", id)
	if err != nil {
		return result.StatusOf(err)
	}
	if s := r.redis(); s != nil {
		return result.StatusOf(s.revoke(ctx, parsed))
	}
	return result.StatusOf(r.write(ctx, func(ctx context.Context, tx db.DBTX) ([]cache.Key, error) {
		hash, err := r.queries.SessionDelete(ctx, tx, parsed)
		if err != nil {
			return nil, err
		}
		return cacheKeys([][]byte{hash}), nil
	}))
}

// RevokeUserSessions ends every session of a user that was stored when it was
// called, in transactions of 1,000 rows, and counts them. What one has
// deleted is told to every process before the next begins. An error's details.revokedSessions says how
// many are revoked all the same.
func (r *Repo) RevokeUserSessions(ctx context.Context, userID string) result.Result[Revoked] {
	return result.Of(r.revokeUser(ctx, userID))
}

func (r *Repo) revokeUser(ctx context.Context, userID string) (all Revoked, err error) {
	if err := checkUserID(userID); err != nil {
		return Revoked{}, err
	}
	if s := r.redis(); s != nil {
		return s.revokeUser(ctx, userID)
	}
	for {
		var hashes [][]byte
		err := r.write(ctx, func(ctx context.Context, tx db.DBTX) (_ []cache.Key, err error) {
			hashes, err = r.queries.SessionDeleteByUser(ctx, tx, db.SessionDeleteByUserParams{UserID: userID, RowLimit: batchRows})
			return cacheKeys(hashes), err
		})
		if err != nil {
			return Revoked{}, result.From(err).With("revokedSessions", all.RevokedSessions)
		}
		all.RevokedSessions += len(hashes)
		if len(hashes) < batchRows {
			return all, nil
		}
	}
}
