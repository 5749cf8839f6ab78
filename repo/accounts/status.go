package accounts

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// StatusMetadata is what UpdateAccountStatus notes beside the status. What is not
// given stays as it is, but what is known of a rate limit's window goes when the
// window has passed or the status turns from rate_limited to another one.
type StatusMetadata struct {
	// RateLimitResetAt is when the provider's window ends. An account that is
	// rate_limited without it stays so until its status is set again.
	RateLimitResetAt time.Time `json:"rateLimitResetAt,omitzero"`
	// ErrorMessage has at most 4,096 characters. It goes with the next status, except
	// that error keeps it.
	ErrorMessage string `json:"errorMessage,omitempty"`
	// LastRequestAt moves lastUsedAt forward, never back; it lies at most 24 h ahead.
	LastRequestAt time.Time `json:"lastRequestAt,omitzero"`
	// TokensRemaining is how many tokens the provider gives in the window. An
	// extension.
	TokensRemaining *int64 `json:"tokensRemaining,omitempty"`
}

// maxAhead is how far the clocks of gateways may be ahead: a use in the far future
// would keep an account last in line for ever.
const maxAhead = 24 * time.Hour

// UnmarshalJSON refuses wrong and unknown members by name.
func (m *StatusMetadata) UnmarshalJSON(data []byte) error {
	type plain StatusMetadata
	return result.DecodeStrict(data, (*plain)(m))
}

// UpdateAccountStatus sets the status of an account of any platform: active,
// inactive, rate_limited or error. A deleted account is RecordNotFound. When inactive
// or error has been written, no call of this process gives active credentials. Under
// write_behind, active and rate_limited wait in the journal: what shows an account, and
// GetAvailableAccounts, lags until they are flushed, and they never take the place of a
// status that was set later. One about an account that could not be looked up is dropped
// by the flush where there is none.
func (r *Repo) UpdateAccountStatus(ctx context.Context, accountID, status string, metadata StatusMetadata) result.Status {
	return result.StatusOf(strategy.Followed(func() error { return r.updateStatus(ctx, accountID, status, metadata) }))
}

func (r *Repo) updateStatus(ctx context.Context, accountID, status string, m StatusMetadata) error {
	id, err := result.ParseID("accountId", accountID)
	if err != nil {
		return err
	}
	if err := oneOf("status", status, Statuses); err != nil {
		return err
	}
	now := r.moments.next(r.tick())
	if err := m.check(now); err != nil {
		return err
	}
	switch l, err := r.onRedis(); {
	case err != nil:
		return err
	case l != nil:
		return l.updateStatus(ctx, id, status, m)
	}
	ctx, cancel := r.Primary.Bounded(ctx) // both ways together
	defer cancel()
	acknowledged, unsure, err := r.delay(ctx, id, status, &m, now)
	if acknowledged || err != nil {
		return err
	}
	changed := true
	err = r.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
		changed, err = r.queries.AccountUpdateStatus(ctx, tx, db.AccountUpdateStatusParams{
			ID: id, Status: status, ErrorMessage: m.ErrorMessage, Now: now,
			RateLimitResetAt: nullable(m.RateLimitResetAt), TokensRemaining: m.TokensRemaining, LastUsedAt: nullable(m.LastRequestAt),
		})
		return err
	})
	// Touches come with each request: an eviction with each would leave no cache.
	if changed || err != nil {
		r.evict(ctx, id)
	}
	if err != nil && unsure {
		return result.From(err).With("outcomeUnknown", true)
	}
	return err
}

func (m *StatusMetadata) check(now time.Time) error {
	if err := checkTime("rateLimitResetAt", m.RateLimitResetAt); err != nil {
		return err
	}
	if err := checkTime("lastRequestAt", m.LastRequestAt); err != nil {
		return err
	}
	if m.LastRequestAt.After(now.Add(maxAhead)) {
		return result.Invalid("lastRequestAt", "must not lie more than %s ahead", maxAhead)
	}
	if t := m.TokensRemaining; t != nil && (*t < 0 || *t > maxCount) {
		return result.Invalid("tokensRemaining", "must lie between 0 and %d", maxCount)
	}
	return result.CheckText("errorMessage", m.ErrorMessage, maxMessage)
}

// SetSchedulable pauses an account, or ends its pause: GetAvailableAccounts leaves out
// paused ones, whatever their status, which stays as it is. Their credentials go on being
// given. A deleted account is RecordNotFound. An extension.
func (r *Repo) SetSchedulable(ctx context.Context, accountID string, schedulable bool) result.Status {
	id, err := result.ParseID("accountId", accountID)
	if err != nil {
		return result.StatusOf(err)
	}
	return result.StatusOf(r.setSchedulable(ctx, id, schedulable))
}

func (r *Repo) setSchedulable(ctx context.Context, id uuid.UUID, schedulable bool) error {
	switch l, err := r.onRedis(); {
	case err != nil:
		return err
	case l != nil:
		return l.setSchedulable(ctx, id, schedulable)
	}
	return r.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) error {
		n, err := r.queries.AccountSetSchedulable(ctx, tx, db.AccountSetSchedulableParams{ID: id, Schedulable: schedulable, Now: r.tick()})
		if err == nil && n == 0 {
			return result.RecordNotFound
		}
		return err
	})
}

// DeleteAccount hides an account and removes its secrets for good; its name stays in
// reports. When it has returned, no call of this process gives its credentials.
func (r *Repo) DeleteAccount(ctx context.Context, accountID string) result.Status {
	id, err := result.ParseID("accountId", accountID)
	if err != nil {
		return result.StatusOf(err)
	}
	return result.StatusOf(strategy.Followed(func() error { return r.remove(ctx, id) }))
}

func (r *Repo) remove(ctx context.Context, id uuid.UUID) error {
	switch l, err := r.onRedis(); {
	case err != nil:
		return err
	case l != nil:
		return l.delete(ctx, id)
	}
	return r.write(ctx, id, func(ctx context.Context, tx db.DBTX) error {
		n, err := r.queries.AccountDelete(ctx, tx, db.AccountDeleteParams{ID: id, Now: r.tick()})
		if err == nil && n == 0 {
			return result.RecordNotFound
		}
		return err
	})
}
