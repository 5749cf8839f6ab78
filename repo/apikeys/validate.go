package apikeys

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	defaultActivation = 30
	maxPlaintext      = 1024
)

// ValidateAPIKey says what a key may do now, by its hash (64 hex digits, see
// [HashPlaintext]). A disabled or expired key is a success with IsActive false;
// an unknown or deleted one is RecordNotFound. The first validation of a key in
// activation mode starts its life.
func (r *Repo) ValidateAPIKey(ctx context.Context, hashedKey string) result.Result[Validation] {
	hash, err := parseHash(hashedKey)
	if err != nil {
		return result.Fail[Validation](err)
	}
	return result.Of(r.validate(ctx, hash))
}

// ValidatePlaintext is ValidateAPIKey for the key that a client sent. Where the
// legacy scheme is on and only the legacy hash is known, the native one is added,
// so that the next validation needs one look-up.
func (r *Repo) ValidatePlaintext(ctx context.Context, plaintext string) result.Result[Validation] {
	if plaintext == "" || len(plaintext) > maxPlaintext {
		return result.Fail[Validation](result.RecordNotFound)
	}
	native, legacy := r.bothHashes(plaintext)
	v, err := r.validate(ctx, native)
	if legacy == nil || !errors.Is(err, pgx.ErrNoRows) {
		return result.Of(v, err)
	}
	v, err = r.validate(ctx, legacy)
	if err == nil {
		err = r.addNativeHash(ctx, v.ID, native)
	}
	return result.Of(v, err)
}

func (r *Repo) validate(ctx context.Context, hash []byte) (Validation, error) {
	known, err := r.byHash(ctx, hash)
	if err != nil {
		return Validation{}, err
	}
	now := r.now()
	if known.awaitsActivation() {
		if known, err = r.activate(ctx, known, hash, now); err != nil {
			return Validation{}, err
		}
	}
	v := known.at(now)
	if v.IsActive {
		r.used.mark(known.ID, now)
	}
	return v, nil
}

// known is what the cache holds of a key.
type known struct {
	ID             uuid.UUID    `json:"id"`
	Permissions    string       `json:"permissions"`
	IsActive       bool         `json:"isActive"`
	ExpiresAt      time.Time    `json:"expiresAt,omitzero"`
	Activates      bool         `json:"activates,omitempty"`
	ActivationDays int64        `json:"activationDays,omitempty"`
	ActivationUnit string       `json:"activationUnit,omitempty"`
	Concurrency    int64        `json:"concurrency,omitempty"`
	Daily          result.Money `json:"daily,omitzero"`
	Requests       int64        `json:"requests,omitempty"`
}

func (k known) at(now time.Time) Validation {
	return Validation{
		ID:          k.ID.String(),
		Permissions: k.Permissions,
		IsActive:    k.IsActive && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt)),
		ExpiresAt:   k.ExpiresAt,
		RateLimits:  RateLimits{Concurrency: k.Concurrency, Daily: k.Daily, Requests: k.Requests},
	}
}

func (k known) awaitsActivation() bool { return k.Activates && k.IsActive }

func (r *Repo) byHash(ctx context.Context, hash []byte) (known, error) {
	doc, err := r.Cache.Get(ctx, cacheKey(hash), func(ctx context.Context) ([]byte, error) {
		k, err := r.load(ctx, hash)
		if err != nil {
			return nil, err
		}
		return json.Marshal(k)
	})
	if err != nil {
		return known{}, err
	}
	var k known
	return k, json.Unmarshal(doc, &k)
}

func (r *Repo) load(ctx context.Context, hash []byte) (known, error) {
	var row db.APIKeyGetByHashRow
	err := r.Primary.Retrying(1).Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		row, err = r.queries.APIKeyGetByHash(ctx, c, hash)
		return err
	})
	return known{
		ID:             row.ID,
		Permissions:    row.Permissions,
		IsActive:       row.IsActive,
		ExpiresAt:      utc(row.ExpiresAt),
		Activates:      row.ExpirationMode == expirationActivation && row.ActivatedAt == nil,
		ActivationDays: row.ActivationDays,
		ActivationUnit: row.ActivationUnit,
		Concurrency:    row.ConcurrencyLimit,
		Daily:          money(row.DailyCostLimit),
		Requests:       row.RateLimitRequests,
	}, err
}

// activate starts the key's life. Of several first validations one wins, and all
// answer what it stored.
func (r *Repo) activate(ctx context.Context, k known, hash []byte, now time.Time) (known, error) {
	now = now.UTC().Truncate(time.Microsecond)
	ends := k.activatedUntil(now)
	err := r.write(ctx, func(ctx context.Context, tx db.DBTX) ([][]byte, error) {
		row, err := r.queries.APIKeyActivate(ctx, tx, db.APIKeyActivateParams{ID: k.ID, Now: now, ExpiresAt: ends})
		if errors.Is(err, pgx.ErrNoRows) {
			return [][]byte{hash}, nil // somebody else was first, or the key has changed
		}
		return [][]byte{row.HashedKey, row.LegacyHash}, err
	})
	if err != nil {
		return known{}, err
	}
	return r.load(ctx, hash)
}

func (k known) activatedUntil(now time.Time) time.Time {
	n := k.ActivationDays
	if n == 0 {
		n = defaultActivation
	}
	if k.ActivationUnit == unitHours {
		return now.Add(time.Duration(n) * time.Hour)
	}
	return now.Add(time.Duration(n) * 24 * time.Hour)
}

func (r *Repo) addNativeHash(ctx context.Context, id string, native []byte) error {
	return r.write(ctx, func(ctx context.Context, tx db.DBTX) ([][]byte, error) {
		return [][]byte{native}, r.queries.APIKeyAddHash(ctx, tx, db.APIKeyAddHashParams{ID: uuid.MustParse(id), HashedKey: native})
	})
}
