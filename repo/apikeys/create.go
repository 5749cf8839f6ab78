package apikeys

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// CreateAPIKey stores a new key and gives its plaintext, this once. With a
// LegacyEncryptionKey the legacy hash is stored as well, so that the legacy
// service could take the key back. A taken id or hash is DuplicateKey, wrong
// input InvalidQuery; both name the field.
func (r *Repo) CreateAPIKey(ctx context.Context, data KeyData) result.Result[Created] {
	return result.Of(r.create(ctx, data))
}

func (r *Repo) create(ctx context.Context, data KeyData) (Created, error) {
	id, err := newID(data.ID)
	if err != nil {
		return Created{}, err
	}
	plaintext, native, legacy, err := r.hashes(data)
	if err != nil {
		return Created{}, err
	}
	if err := data.normalise(); err != nil {
		return Created{}, err
	}
	now := r.now().UTC().Truncate(time.Microsecond)
	if err := r.insert(ctx, id, &data, native, legacy, now); err != nil {
		return Created{}, err
	}
	shown := native
	if shown == nil {
		shown = legacy
	}
	return Created{ID: id.String(), APIKey: plaintext, HashedKey: hex.EncodeToString(shown), CreatedAt: now}, nil
}

// insert stores a normalised key.
func (r *Repo) insert(ctx context.Context, id uuid.UUID, data *KeyData, native, legacy []byte, now time.Time) error {
	if s := r.redis(); s != nil {
		return s.create(ctx, id, data, native, legacy, now)
	}
	return r.write(ctx, func(ctx context.Context, tx db.DBTX) ([][]byte, error) {
		_, err := r.queries.APIKeyInsert(ctx, tx, data.insertParams(id, native, legacy, now))
		return [][]byte{native, legacy}, err
	})
}

func newID(text string) (uuid.UUID, error) {
	if text == "" {
		return uuid.New(), nil
	}
	return result.ParseID("id", text)
}

// hashes gives a new plaintext and its hashes, or the hash that is imported.
func (r *Repo) hashes(data KeyData) (plaintext string, native, legacy []byte, err error) {
	if data.HashedKey == "" {
		if data.HashScheme != "" {
			return "", nil, nil, result.Invalid("hashScheme", "given without hashedKey")
		}
		plaintext = newPlaintext(r.Prefix)
		native, legacy = r.bothHashes(plaintext)
		return plaintext, native, legacy, nil
	}
	hash, err := parseHash(data.HashedKey)
	switch {
	case err != nil:
		return "", nil, nil, err
	case data.HashScheme == "" || data.HashScheme == HashSHA256:
		return "", hash[:], nil, nil
	case data.HashScheme == HashLegacy:
		return "", nil, hash[:], nil
	}
	return "", nil, nil, result.Invalid("hashScheme", "must be %s or %s", HashSHA256, HashLegacy)
}

// bothHashes gives the native hash and, where the legacy scheme is on, its own.
func (r *Repo) bothHashes(plaintext string) (native, legacy []byte) {
	native, _ = hex.DecodeString(HashPlaintext(plaintext))
	if r.LegacyEncryptionKey != "" {
		legacy, _ = hex.DecodeString(LegacyHash(plaintext, r.LegacyEncryptionKey))
	}
	return native, legacy
}
