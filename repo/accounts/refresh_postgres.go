package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/db"
)

// postgresRefreshes is the refreshStore of accounts in PostgreSQL.
type postgresRefreshes struct{ *Repo }

func (p postgresRefreshes) standing(ctx context.Context, id uuid.UUID) (*standing, error) {
	s := &standing{}
	err := p.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		s.AccountRefreshGetRow, err = p.queries.AccountRefreshGet(ctx, c, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.texts, err = p.open(id, &sealed{accessToken: s.AccessToken, refreshToken: s.RefreshToken, proxyPassword: s.ProxyPassword})
	return s, err
}

func (p postgresRefreshes) lease(ctx context.Context, id, holder uuid.UUID, lease time.Duration) (taken bool, err error) {
	err = p.Primary.Append(ctx, func(ctx context.Context, c db.DBTX) error {
		n, err := p.queries.AccountRefreshLease(ctx, c, db.AccountRefreshLeaseParams{ID: id, Holder: holder, Lease: interval(lease)})
		taken = n == 1
		return err
	})
	return taken, err
}

func (p postgresRefreshes) release(ctx context.Context, id, holder uuid.UUID) error {
	return p.Primary.Append(ctx, func(ctx context.Context, c db.DBTX) error {
		return p.queries.AccountRefreshRelease(ctx, c, db.AccountRefreshReleaseParams{ID: id, Holder: holder})
	})
}

func (p postgresRefreshes) intend(ctx context.Context, id, holder uuid.UUID, version int64, lease time.Duration) (intended bool, err error) {
	err = p.Primary.Append(ctx, func(ctx context.Context, c db.DBTX) error {
		n, err := p.queries.AccountRefreshIntend(ctx, c, db.AccountRefreshIntendParams{
			ID: id, Holder: holder, Version: version, Lease: interval(lease),
		})
		intended = n == 1
		return err
	})
	return intended, err
}

func (p postgresRefreshes) finish(ctx context.Context, o outcome) error {
	return p.Primary.Append(ctx, func(ctx context.Context, c db.DBTX) error { return p.finishIn(ctx, c, o) })
}

func (p postgresRefreshes) finishIn(ctx context.Context, c db.DBTX, o outcome) error {
	e := o.failure
	params := db.AccountRefreshFinishParams{
		ID: o.id, Holder: o.holder, Version: o.version, Resolved: o.resolved, AnswersFor: interval(o.answers),
		Failure: string(e.Kind), Reason: e.reason(), Status: int32(e.Status), //nolint:gosec // three digits
	}
	if e.RetryAfter > 0 {
		params.RetryAfter = interval(e.RetryAfter)
	}
	_, err := p.queries.AccountRefreshFinish(ctx, c, params)
	return err
}

func (p postgresRefreshes) refuse(ctx context.Context, o outcome, used, message string) (same bool, err error) {
	err = p.write(ctx, o.id, func(ctx context.Context, tx db.DBTX) (err error) {
		same, err = p.refuseIn(ctx, tx, o, used, message)
		return err
	})
	return same, err
}

func (p postgresRefreshes) refuseIn(ctx context.Context, tx db.DBTX, o outcome, used, message string) (same bool, err error) {
	row, err := p.queries.AccountGetCredentialsForUpdate(ctx, tx, o.id)
	if err != nil {
		return false, err
	}
	if same, err = p.stands(row, o.version, used); err != nil {
		return false, err
	}
	if same && row.Status != Inactive { // new credentials would activate it
		mark := db.AccountUpdateStatusParams{ID: o.id, Status: InError, ErrorMessage: message, Now: p.tick()}
		if _, err = p.queries.AccountUpdateStatus(ctx, tx, mark); err != nil {
			return false, err
		}
	}
	return same, p.finishIn(ctx, tx, o)
}

// stands tells whether the refresh token of a row is still the one that was read at a
// version: a change of the proxy moves the version, too.
func (p postgresRefreshes) stands(row db.AccountGetCredentialsForUpdateRow, version int64, used string) (bool, error) {
	if row.CredentialsVersion == version {
		return true, nil
	}
	t, err := p.open(row.ID, &sealed{refreshToken: row.RefreshToken})
	return t[refreshToken] == used, err
}

func (p postgresRefreshes) store(ctx context.Context, u *unstored) (a Refreshed, err error) {
	err = p.write(ctx, u.id, func(ctx context.Context, tx db.DBTX) (err error) {
		a, err = p.storeIn(ctx, tx, u)
		return err
	})
	return a, err
}

func (p postgresRefreshes) storeIn(ctx context.Context, tx db.DBTX, u *unstored) (Refreshed, error) {
	row, err := p.queries.AccountGetCredentialsForUpdate(ctx, tx, u.id)
	if err != nil {
		return Refreshed{}, err
	}
	same, err := p.stands(row, u.version, u.used)
	if err == nil && !same {
		err = errReplaced
	}
	if err != nil {
		return Refreshed{}, err
	}
	t := u.tokens
	o := OAuthData{AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, Scopes: t.Scopes, ExpiresAt: t.ExpiresAt}
	if _, err := p.storeTokens(ctx, tx, u.id, row.CredentialsVersion, o); err != nil { // locked: the version stands
		return Refreshed{}, err
	}
	at, err := p.queries.AccountRefreshSucceed(ctx, tx, db.AccountRefreshSucceedParams{
		ID: u.id, Holder: u.holder, Version: row.CredentialsVersion + 1, AnswersFor: interval(p.refreshes.answers),
	})
	if errors.Is(err, pgx.ErrNoRows) {
		at, err = p.tick(), nil
	}
	return Refreshed{AccessToken: t.AccessToken, ExpiresAt: t.ExpiresAt, RefreshedAt: at.UTC()}, err
}

func (p postgresRefreshes) due(ctx context.Context) (ids []uuid.UUID, err error) {
	err = p.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		ids, err = p.queries.AccountRefreshDue(ctx, c, db.AccountRefreshDueParams{
			Ahead: interval(p.RefreshAhead), Pause: interval(p.RefreshAhead / 4), RowLimit: aheadRows,
		})
		return err
	})
	return ids, err
}
