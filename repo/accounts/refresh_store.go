package accounts

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// unstored is what a provider gave and PostgreSQL does not have yet.
type unstored struct {
	hidden

	id      uuid.UUID
	holder  uuid.UUID
	version int64
	used    string // the refresh token that it was given for
	tokens  Tokens
}

func (rs *refreshes) keep(u unstored) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.kept[u.id] = u
}

func (rs *refreshes) forget(id uuid.UUID) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	delete(rs.kept, id)
}

func (rs *refreshes) unstoredOf(id uuid.UUID) (unstored, bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	u, has := rs.kept[id]
	return u, has
}

func (rs *refreshes) unstored() []unstored {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return slices.Collect(maps.Values(rs.kept))
}

// store tries until the tokens are stored, for as long as pace.store or until Close's
// deadline; what is not stored then is kept. Where the credentials have been replaced,
// the tokens are of no use: errReplaced. That is so, too, where the try before was
// committed without anybody hearing of it.
func (f *flight) store(u unstored) (Refreshed, error) {
	f.own.keep(u)
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = 50*time.Millisecond, time.Second
	for until := time.Now().Add(f.own.store); ; {
		a, err := f.storeOnce(f.own.working, u)
		if err == nil || errors.Is(err, errReplaced) || errors.Is(err, pgx.ErrNoRows) {
			return a, err
		}
		if time.Now().After(until) || !sleep(f.own.working, delays.NextBackOff()) {
			e := result.From(err)
			f.Logger.Error("relaystore: an account's new tokens could not be stored, this process keeps them until it ends", "account", u.id, "error", e)
			e = e.With("outcomeUnknown", true)
			e.Message = "the provider has refreshed the token, but it could not be stored: " + e.Message
			return Refreshed{}, e
		}
	}
}

// storeOnce forgets the tokens where it is known what became of them.
func (r *Repo) storeOnce(ctx context.Context, u unstored) (a Refreshed, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.Primary.OpTimeout)
	defer cancel()
	err = r.write(ctx, u.id, func(ctx context.Context, tx db.DBTX) (err error) {
		a, err = r.storeIn(ctx, tx, u)
		return err
	})
	if err == nil || errors.Is(err, errReplaced) || errors.Is(err, pgx.ErrNoRows) {
		r.refreshes.forget(u.id)
	}
	return a, err
}

func (r *Repo) storeIn(ctx context.Context, tx db.DBTX, u unstored) (Refreshed, error) {
	row, err := r.queries.AccountGetCredentialsForUpdate(ctx, tx, u.id)
	if err != nil {
		return Refreshed{}, err
	}
	a := Refreshed{AccessToken: u.tokens.AccessToken, ExpiresAt: u.tokens.ExpiresAt, RefreshedAt: r.tick()}
	same, err := r.stands(row, u.version, u.used)
	if err == nil && !same {
		err = errReplaced
	}
	if err != nil {
		return Refreshed{}, err
	}
	o := OAuthData{AccessToken: a.AccessToken, RefreshToken: u.tokens.RefreshToken, Scopes: u.tokens.Scopes, ExpiresAt: a.ExpiresAt}
	if _, err := r.storeTokens(ctx, tx, u.id, row.CredentialsVersion, o); err != nil { // locked: the version stands
		return Refreshed{}, err
	}
	p := db.AccountRefreshFinishParams{ID: u.id, Holder: u.holder, Version: row.CredentialsVersion + 1, Resolved: true}
	a.RefreshedAt, err = r.finish(ctx, tx, p, nil)
	return a, err
}
