package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// maxAnswers bounds how long a provider's Retry-After keeps callers away from it.
const maxAnswers = 5 * time.Minute

// exchange calls the provider under the lease, which nobody else can have taken and
// given back unseen: what it left behind is looked at first.
func (f *flight) exchange() (Refreshed, error) {
	began := time.Now()
	s, err := f.read(f.own.working)
	if err != nil {
		f.release()
		return Refreshed{}, err
	}
	if a, is, err := f.settled(s); is {
		f.release()
		return a, err
	}
	if err := f.intend(s); err != nil {
		f.release()
		return Refreshed{}, err
	}
	t, failed := f.callProvider(s, began)
	if failed != nil {
		return f.fail(s, failed)
	}
	u := &unstored{id: f.id, holder: f.holder, version: s.CredentialsVersion, used: s.texts[refreshToken], tokens: t}
	a, err := f.store(u)
	if errors.Is(err, errReplaced) {
		f.release()
		return f.replaced()
	}
	return a, err
}

func (f *flight) release() {
	_ = f.append(f.own.working, func(ctx context.Context, c db.DBTX) error { // else it ends by itself
		return f.queries.AccountRefreshRelease(ctx, c, db.AccountRefreshReleaseParams{ID: f.id, Holder: f.holder})
	})
}

func (f *flight) intend(s *standing) error {
	var n int64
	err := f.append(f.own.working, func(ctx context.Context, c db.DBTX) (err error) {
		n, err = f.queries.AccountRefreshIntend(ctx, c, db.AccountRefreshIntendParams{
			ID: f.id, Holder: f.holder, Version: s.CredentialsVersion, Lease: interval(f.own.lease),
		})
		return err
	})
	if err == nil && n == 0 { // this process has stalled, another one has the lease
		return errWaited
	}
	return err
}

// callProvider does not call when the lease may end before the call does: a machine
// that was suspended knows by the wall clock alone.
func (f *flight) callProvider(s *standing, began time.Time) (Tokens, *RefreshError) {
	if max(time.Since(began), time.Since(began.Round(0))) > f.own.lease-f.own.call {
		return Tokens{}, &RefreshError{Kind: RefreshUnavailable, Reason: "stalled", NotSent: true}
	}
	ctx, cancel := context.WithTimeout(f.own.working, f.own.call)
	defer cancel()
	t, err := f.TokenRefresher.Refresh(ctx, s.request(f.id))
	if err == nil {
		err = t.normalise()
	}
	if err != nil {
		return Tokens{}, asRefreshError(err)
	}
	return t, nil
}

// Messages of an account whose refresh token the provider does not take.
const (
	messageRefused = "the provider does not take the refresh token any more (invalid_grant): authorise the account anew"
	messageLost    = "the provider does not take the refresh token any more (invalid_grant), and the answer of an earlier refresh was lost: authorise the account anew"
)

// fail notes a failure, as well as it can: what is not noted costs another call. Where
// the credentials have been replaced meanwhile, it is of no interest.
func (f *flight) fail(s *standing, e *RefreshError) (Refreshed, error) {
	var err error
	if e.Kind == RefreshInvalidGrant {
		err = f.mark(s, e)
	} else {
		err = f.append(f.own.working, func(ctx context.Context, c db.DBTX) error {
			return f.finish(ctx, c, s.CredentialsVersion, e, e.resolved() && !s.unresolved())
		})
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		f.Logger.Warn("relaystore: the failure of a token's refresh could not be stored", "account", f.id, "error", result.From(err))
	}
	a, err := f.replaced()
	if err == nil || errors.Is(err, pgx.ErrNoRows) {
		return a, err
	}
	return Refreshed{}, e.result()
}

// mark sets the status error, unless the account has been authorised anew meanwhile,
// or is inactive: new credentials would activate it.
func (f *flight) mark(s *standing, e *RefreshError) error {
	ctx, cancel := context.WithTimeout(f.own.working, f.Primary.OpTimeout)
	defer cancel()
	same := false
	err := f.write(ctx, f.id, func(ctx context.Context, tx db.DBTX) (err error) {
		same, err = f.markIn(ctx, tx, s, e)
		return err
	})
	if err == nil && same {
		f.Logger.Warn("relaystore: an account must be authorised anew", "account", f.id, "reason", e.reason(), "earlier answer lost", s.unresolved())
	}
	return err
}

func (f *flight) markIn(ctx context.Context, tx db.DBTX, s *standing, e *RefreshError) (same bool, err error) {
	row, err := f.queries.AccountGetCredentialsForUpdate(ctx, tx, f.id)
	if err != nil {
		return false, err
	}
	if same, err = f.stands(row, s.CredentialsVersion, s.texts[refreshToken]); err != nil {
		return false, err
	}
	if same && row.Status != Inactive {
		mark := db.AccountUpdateStatusParams{ID: f.id, Status: InError, ErrorMessage: messageRefused, Now: f.tick()}
		if s.unresolved() {
			mark.ErrorMessage = messageLost
		}
		if _, err = f.queries.AccountUpdateStatus(ctx, tx, mark); err != nil {
			return false, err
		}
	}
	return same, f.finish(ctx, tx, s.CredentialsVersion, e, true)
}

// stands tells whether the refresh token of a row is still the one that was read at a
// version: a change of the proxy moves the version, too.
func (r *Repo) stands(row db.AccountGetCredentialsForUpdateRow, version int64, used string) (bool, error) {
	if row.CredentialsVersion == version {
		return true, nil
	}
	t, err := r.open(row.ID, &sealed{refreshToken: row.RefreshToken})
	return t[refreshToken] == used, err
}

// finish notes a failure, where the lease is still this flight's.
func (f *flight) finish(ctx context.Context, c db.DBTX, version int64, e *RefreshError, resolved bool) error {
	p := db.AccountRefreshFinishParams{
		ID: f.id, Holder: f.holder, Version: version, Resolved: resolved,
		Failure: string(e.Kind), Reason: e.reason(), Status: int32(e.Status), //nolint:gosec // three digits
		AnswersFor: interval(max(f.own.answers, min(e.RetryAfter, maxAnswers))),
	}
	if e.RetryAfter > 0 {
		p.RetryAfter = interval(e.RetryAfter)
	}
	_, err := f.queries.AccountRefreshFinish(ctx, c, p)
	return err
}

// replaced gives what stands in the place of the credentials that were refreshed.
func (f *flight) replaced() (Refreshed, error) {
	s, err := f.read(f.own.working)
	switch {
	case err != nil:
		return Refreshed{}, err
	case s.texts[accessToken] == "" || s.texts[accessToken] == f.asked:
		return Refreshed{}, errReplaced
	}
	return s.refreshed(), nil
}
