package accounts

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Hurry shortens what a refresh waits for; a zero keeps the step as it is.
func (r *Repo) Hurry(call, grace, store time.Duration) {
	for step, d := range map[*time.Duration]time.Duration{&r.refreshes.call: call, &r.refreshes.grace: grace, &r.refreshes.store: store} {
		if d != 0 {
			*step = d
		}
	}
}

// RefreshDue is a round of the refresh ahead of expiry.
func (r *Repo) RefreshDue(ctx context.Context) { r.refreshDue(ctx) }

// Unstored counts the accounts whose new tokens the process keeps.
func (r *Repo) Unstored() int { return len(r.refreshes.unstored()) }

// RefreshAccountAhead is what a round does with an account.
func (r *Repo) RefreshAccountAhead(ctx context.Context, id string) (Refreshed, error) {
	return r.refresh(ctx, uuid.MustParse(id), r.RefreshAhead)
}

// TouchEvery is how long a process does not write an account's use once more.
func (r *Repo) TouchEvery(d time.Duration) { r.uses.every = d }

// LeaseRefresh takes the lease of an account and, after between, notes an intent.
func (r *Repo) LeaseRefresh(ctx context.Context, id string, between func()) (leased, intended bool, err error) {
	holder, account := uuid.New(), uuid.MustParse(id)
	if leased, err = r.refreshStore().lease(ctx, account, holder, time.Minute); err != nil {
		return leased, false, err
	}
	between()
	intended, err = r.refreshStore().intend(ctx, account, holder, 1, time.Minute)
	return leased, intended, err
}
