package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/strategy"
)

// flight is one refresh of one account: the waiting for another process's, or the
// call under the lease.
type flight struct {
	*Repo

	own    *refreshes
	id     uuid.UUID
	holder uuid.UUID
	ahead  time.Duration
	asked  string // the access token that a new one is wanted for
}

// standing is an account as a refresh sees it.
type standing struct {
	db.AccountRefreshGetRow

	texts texts
}

// refreshStore is where accounts' tokens are, and how their refreshes stand. Its clock
// is the store's.
type refreshStore interface {
	// standing reads an account and opens its tokens; pgx.ErrNoRows means that there is none.
	standing(ctx context.Context, id uuid.UUID) (*standing, error)
	// lease tells whether the holder has it now; repeated, it takes nothing away.
	lease(ctx context.Context, id, holder uuid.UUID, lease time.Duration) (bool, error)
	release(ctx context.Context, id, holder uuid.UUID) error
	// intend notes that the refresh token of a version is about to be used, and prolongs
	// the lease; it is false where that is lost.
	intend(ctx context.Context, id, holder uuid.UUID, version int64, lease time.Duration) (bool, error)
	// finish notes a failure, where the lease is still the holder's.
	finish(ctx context.Context, o outcome) error
	// refuse does so for a token that the provider does not take, and sets the status
	// error, unless that token is replaced or the account inactive; it tells whether the
	// token was the account's.
	refuse(ctx context.Context, o outcome, used, message string) (same bool, err error)
	// store stores new tokens for those that were used; errReplaced where they are replaced.
	store(ctx context.Context, u *unstored) (Refreshed, error)
	// due are accounts whose tokens expire soon.
	due(ctx context.Context) ([]uuid.UUID, error)
}

// outcome is a failed refresh.
type outcome struct {
	id, holder uuid.UUID
	version    int64
	failure    *RefreshError
	// resolved tells that the refresh token is as good as before.
	resolved bool
	// answers is how long the failure answers further calls.
	answers time.Duration
}

// refreshStore gives where accounts are now.
func (r *Repo) refreshStore() refreshStore {
	if redis := r.Place.Redis(); redis != nil {
		return r.legacyAt(redis)
	}
	return postgresRefreshes{r}
}

// followingRefreshes goes where accounts are when a step is taken, but for intend, whose
// version is the store's own: that is ErrMoved, and the account is read anew.
type followingRefreshes struct{ *Repo }

func (f followingRefreshes) lease(ctx context.Context, id, holder uuid.UUID, lease time.Duration) (bool, error) {
	return strategy.Follow(func() (bool, error) { return f.refreshStore().lease(ctx, id, holder, lease) })
}

func (f followingRefreshes) release(ctx context.Context, id, holder uuid.UUID) error {
	return strategy.Followed(func() error { return f.refreshStore().release(ctx, id, holder) })
}

func (f followingRefreshes) finish(ctx context.Context, o outcome) error {
	return strategy.Followed(func() error { return f.refreshStore().finish(ctx, o) })
}

func (f followingRefreshes) refuse(ctx context.Context, o outcome, used, message string) (bool, error) {
	return strategy.Follow(func() (bool, error) { return f.refreshStore().refuse(ctx, o, used, message) })
}

func (f followingRefreshes) store(ctx context.Context, u *unstored) (Refreshed, error) {
	return strategy.Follow(func() (Refreshed, error) { return f.refreshStore().store(ctx, u) })
}

func (f *flight) read(ctx context.Context) (*standing, error) {
	ctx, cancel := context.WithTimeout(ctx, f.Primary.OpTimeout)
	defer cancel()
	return f.refreshStore().standing(ctx, f.id)
}

// held tells whether a process has the lease.
func (s *standing) held() bool { return s.LeaseExpiresAt != nil && s.LeaseExpiresAt.After(s.Now) }

// unresolved tells that an earlier refresh may have used up the present token.
func (s *standing) unresolved() bool {
	return s.IntentAt != nil && s.IntentVersion != nil && *s.IntentVersion == s.CredentialsVersion
}

// abandoned tells that its process has said nothing since.
func (s *standing) abandoned() bool { return s.unresolved() && s.FinishedAt == nil }

// finished tells that the last outcome speaks of the present credentials.
func (s *standing) finished() bool {
	return s.FinishedAt != nil && s.FinishedVersion != nil && *s.FinishedVersion == s.CredentialsVersion
}

// failure is the last outcome, or nil where it was a success.
func (s *standing) failure() *RefreshError {
	if *s.Failure == "" {
		return nil
	}
	e := &RefreshError{Kind: RefreshFailure(*s.Failure), Reason: *s.FailureReason, Status: int(*s.FailureStatus)}
	if s.FailureRetryAt != nil {
		e.RetryAfter = max(s.FailureRetryAt.Sub(s.Now), time.Second)
	}
	return e
}

func (s *standing) refreshed() Refreshed {
	a := Refreshed{AccessToken: s.texts[accessToken], ExpiresAt: utc(s.TokenExpiresAt), RefreshedAt: s.UpdatedAt.UTC()}
	if s.finished() {
		a.RefreshedAt = s.FinishedAt.UTC()
	}
	return a
}

func (s *standing) request(id uuid.UUID) RefreshRequest {
	req := RefreshRequest{
		AccountID: id.String(), Platform: s.Platform, RefreshToken: s.texts[refreshToken], Scopes: s.Scopes,
		Proxy: proxy(s.ProxyType, s.ProxyHost, s.ProxyPort, s.ProxyUsername, s.texts[proxyPassword]),
	}
	_ = json.Unmarshal(s.Details, &req.Details) // changed by hand: what can be read counts
	return req
}

// settled gives the outcome where no call is needed.
func (f *flight) settled(s *standing) (Refreshed, bool, error) {
	token := s.texts[accessToken]
	if s.finished() && s.AnswersUntil != nil && s.AnswersUntil.After(s.Now) {
		if e := s.failure(); e != nil {
			return Refreshed{}, true, e.result()
		}
		return s.refreshed(), true, nil
	}
	if token != "" && token != f.asked {
		return s.refreshed(), true, nil
	}
	if f.ahead > 0 && (s.TokenExpiresAt == nil || s.TokenExpiresAt.Sub(s.Now) > f.ahead) {
		return s.refreshed(), true, nil
	}
	if s.texts[refreshToken] == "" {
		return Refreshed{}, true, errNoRefreshToken
	}
	return Refreshed{}, false, nil
}

// run gives the account's new token. The end of waiting does not end what comes after
// it.
func (f *flight) run(waiting context.Context) (Refreshed, error) {
	if u := f.own.unstoredOf(f.id); u != nil {
		if _, err := f.store(u); err != nil && !errors.Is(err, errReplaced) {
			return Refreshed{}, err
		}
	}
	s, err := f.read(waiting)
	if err != nil {
		return Refreshed{}, err
	}
	f.asked = s.texts[accessToken]
	if a, is, err := f.settled(s); is {
		return a, err
	}
	if a, is, err := f.wait(waiting, s); is {
		return a, err
	}
	return f.exchange()
}

// wait takes the lease, or gives what is settled meanwhile.
func (f *flight) wait(waiting context.Context, s *standing) (Refreshed, bool, error) {
	waiting, cancel := context.WithTimeoutCause(waiting, f.own.lease+f.own.grace+f.own.call, errWaited)
	defer cancel()
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = 25*time.Millisecond, 500*time.Millisecond
	var left time.Time // since when an intent is seen to be abandoned
	for {
		if !s.abandoned() || s.held() {
			left = time.Time{}
		} else if left.IsZero() {
			left = time.Now()
		}
		if !s.held() && (left.IsZero() || time.Since(left) >= f.own.grace) {
			if taken, err := f.take(waiting); taken || err != nil {
				return Refreshed{}, err != nil, err
			}
		}
		if !sleep(waiting, delays.NextBackOff()) {
			return Refreshed{}, true, context.Cause(waiting)
		}
		var err error
		if s, err = f.read(waiting); err != nil {
			return Refreshed{}, true, err
		}
		if a, is, err := f.settled(s); is {
			return a, true, err
		}
	}
}

func (f *flight) take(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, f.Primary.OpTimeout)
	defer cancel()
	return followingRefreshes{f.Repo}.lease(ctx, f.id, f.holder, f.own.lease)
}

func interval(d time.Duration) pgtype.Interval {
	return pgtype.Interval{Microseconds: d.Microseconds(), Valid: true}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
