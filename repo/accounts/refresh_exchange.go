package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
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
	switch err := f.intend(s); {
	case errors.Is(err, strategy.ErrMoved): // the lease, too
		return f.exchange()
	case err != nil:
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
	ctx, cancel := context.WithTimeout(f.own.working, f.Primary.OpTimeout)
	defer cancel()
	_ = followingRefreshes{f.Repo}.release(ctx, f.id, f.holder) // else it ends by itself
}

func (f *flight) intend(s *standing) error {
	ctx, cancel := context.WithTimeout(f.own.working, f.Primary.OpTimeout)
	defer cancel()
	intended, err := f.refreshStore().intend(ctx, f.id, f.holder, s.CredentialsVersion, f.own.lease)
	if err == nil && !intended { // this process has stalled, another one has the lease
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
	err := f.note(s, e)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		f.Logger.Warn("relaystore: the failure of a token's refresh could not be stored", "account", f.id, "error", result.From(err))
	}
	a, err := f.replaced()
	if err == nil || errors.Is(err, pgx.ErrNoRows) {
		return a, err
	}
	return Refreshed{}, e.result()
}

func (f *flight) note(s *standing, e *RefreshError) error {
	ctx, cancel := context.WithTimeout(f.own.working, f.Primary.OpTimeout)
	defer cancel()
	o := outcome{
		id: f.id, holder: f.holder, version: s.CredentialsVersion, failure: e, resolved: e.resolved() && !s.unresolved(),
		answers: max(f.own.answers, min(e.RetryAfter, maxAnswers)),
	}
	if e.Kind != RefreshInvalidGrant {
		return followingRefreshes{f.Repo}.finish(ctx, o)
	}
	message := messageRefused
	if s.unresolved() {
		message = messageLost
	}
	o.resolved = true
	same, err := followingRefreshes{f.Repo}.refuse(ctx, o, s.texts[refreshToken], message)
	if err == nil && same {
		f.Logger.Warn("relaystore: an account must be authorised anew", "account", f.id, "reason", e.reason(), "earlier answer lost", s.unresolved())
	}
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
