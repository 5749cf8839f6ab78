package apikeys

import (
	"context"
	"time"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// GetAPIKey gives a stored key by its id. A deleted one is RecordNotFound.
func (r *Repo) GetAPIKey(ctx context.Context, keyID string) result.Result[APIKey] {
	return result.Of(r.get(ctx, keyID))
}

func (r *Repo) get(ctx context.Context, keyID string) (APIKey, error) {
	id, err := result.ParseID("keyId", keyID)
	if err != nil {
		return APIKey{}, err
	}
	if s := r.redis(); s != nil {
		return s.get(ctx, id)
	}
	var row db.APIKeyGetRow
	err = r.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		row, err = r.queries.APIKeyGet(ctx, c, id)
		return err
	})
	if err != nil {
		return APIKey{}, err
	}
	return fromRow(row.APIKey, row.LastUsedAt)
}

// UpdateAPIKey merges the patch into the stored key and gives the whole of it.
// Updates of one key follow each other, so that two of different fields both
// survive. When it has returned, no call of this process validates the older key.
func (r *Repo) UpdateAPIKey(ctx context.Context, keyID string, patch Patch) result.Result[APIKey] {
	return result.Of(r.update(ctx, keyID, patch))
}

func (r *Repo) update(ctx context.Context, keyID string, patch Patch) (updated APIKey, err error) {
	id, err := result.ParseID("keyId", keyID)
	if err != nil {
		return APIKey{}, err
	}
	if s := r.redis(); s != nil {
		return s.update(ctx, id, patch)
	}
	err = r.write(ctx, func(ctx context.Context, tx db.DBTX) ([][]byte, error) {
		row, err := r.queries.APIKeyGetForUpdate(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		k, err := fromRow(row.APIKey, row.LastUsedAt)
		if err != nil {
			return nil, err
		}
		if err := patch.apply(&k); err != nil {
			return nil, err
		}
		if err := patch.check(&k); err != nil {
			return nil, err
		}
		stored, err := r.queries.APIKeyUpdate(ctx, tx, k.updateParams(id, k.IsActive, row.APIKey.ActivatedAt, r.tick(row.APIKey.UpdatedAt)))
		if err != nil {
			return nil, err
		}
		updated, err = fromRow(stored, row.LastUsedAt)
		return [][]byte{stored.HashedKey, stored.LegacyHash}, err
	})
	if err != nil {
		return APIKey{}, err
	}
	return updated, nil
}

// tick is now, but always after what is stored: clocks of processes differ.
func (r *Repo) tick(stored time.Time) time.Time {
	now := r.now().UTC().Truncate(time.Microsecond)
	if !now.After(stored) {
		return stored.Add(time.Microsecond)
	}
	return now
}

// DeleteAPIKey revokes a key at once. Its usage and name stay in reports; a
// second delete is RecordNotFound.
func (r *Repo) DeleteAPIKey(ctx context.Context, keyID string) result.Status {
	id, err := result.ParseID("keyId", keyID)
	if err != nil {
		return result.StatusOf(err)
	}
	now := r.now().UTC()
	if s := r.redis(); s != nil {
		return result.StatusOf(s.delete(ctx, id, now))
	}
	return result.StatusOf(r.write(ctx, func(ctx context.Context, tx db.DBTX) ([][]byte, error) {
		row, err := r.queries.APIKeyDelete(ctx, tx, db.APIKeyDeleteParams{ID: id, Now: now})
		return [][]byte{row.HashedKey, row.LegacyHash}, err
	}))
}

// RecordAPIKeyUsage writes one use of a key to the ledger, without an account.
// It answers as usage.Repo's RecordUsage does.
func (r *Repo) RecordAPIKeyUsage(ctx context.Context, keyID string, u UsageData) result.Status {
	return r.Ledger.RecordKeyUsage(ctx, u.record(keyID))
}
