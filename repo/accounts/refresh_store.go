package accounts

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

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

	mu     sync.Mutex // of the tries
	known  bool       // what became of it
	behind bool       // tries go on in the background
}

func (rs *refreshes) keep(u *unstored) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.kept[u.id] = u
}

// forget lets those of a later refresh stay.
func (rs *refreshes) forget(u *unstored) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.kept[u.id] == u {
		delete(rs.kept, u.id)
	}
}

func (rs *refreshes) unstoredOf(id uuid.UUID) *unstored {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.kept[id]
}

func (rs *refreshes) unstored() []*unstored {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return slices.Collect(maps.Values(rs.kept))
}

// store tries until the tokens are stored, for as long as pace.store or until Close's
// deadline; then tries go on in the background. Where the credentials have been
// replaced, the tokens are of no use: errReplaced. That is so, too, where the try
// before was committed without anybody hearing of it.
func (f *flight) store(u *unstored) (Refreshed, error) {
	f.own.keep(u)
	until := time.Now().Add(f.own.store)
	a, err := f.storeBefore(f.own.working, until, u)
	if settles(err) {
		return a, err
	}
	e := result.From(err)
	f.storeBehind(u, e)
	e = e.With("outcomeUnknown", true)
	e.Message = "the provider has refreshed the token, but it could not be stored: " + e.Message
	return Refreshed{}, e
}

// storeBefore tries until it is known what became of the tokens, until a time (the
// zero one is never), or until going ends.
func (r *Repo) storeBefore(going context.Context, until time.Time, u *unstored) (a Refreshed, err error) {
	delays := backoff.NewExponentialBackOff()
	// Less than a successor's grace, together with a try.
	delays.InitialInterval, delays.MaxInterval = 50*time.Millisecond, time.Second
	for {
		a, err = r.storeOnce(r.refreshes.working, u)
		late := !until.IsZero() && time.Now().After(until)
		if settles(err) || late || !sleep(going, delays.NextBackOff()) {
			return a, err
		}
	}
}

// storeBehind goes on until the tokens are stored, or until Close, which tries once
// more. Without it, another process would use the old token first. Its flight is
// running, so Close waits for it.
func (f *flight) storeBehind(u *unstored, why error) {
	u.mu.Lock()
	again := u.behind
	u.behind = true
	u.mu.Unlock()
	if again {
		return
	}
	f.Logger.Error("relaystore: an account's new tokens could not be stored, this process keeps them and goes on trying until it ends", "account", u.id, "error", why)
	r := f.Repo
	r.refreshes.running.Go(func() {
		if _, err := r.storeBefore(r.refreshes.waiting, time.Time{}, u); err == nil {
			r.Logger.Info("relaystore: an account's new tokens are stored at last", "account", u.id)
		}
	})
}

// settles tells whether an error of storing, or none, says what became of the tokens.
func settles(err error) bool {
	return err == nil || errors.Is(err, errReplaced) || errors.Is(err, pgx.ErrNoRows)
}

// storeOnce forgets the tokens where it is known what became of them; another try of
// these is errReplaced then.
func (r *Repo) storeOnce(ctx context.Context, u *unstored) (a Refreshed, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.known {
		return a, errReplaced
	}
	ctx, cancel := context.WithTimeout(ctx, r.Primary.OpTimeout)
	defer cancel()
	a, err = followingRefreshes{r}.store(ctx, u)
	if settles(err) {
		u.known = true
		r.refreshes.forget(u)
	}
	return a, err
}
