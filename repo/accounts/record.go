package accounts

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
)

// record is what a process and Redis keep of an account: its secrets are sealed.
// A record never changes.
type record struct {
	ID        uuid.UUID `json:"id"`
	Platform  string    `json:"platform"`
	IsActive  bool      `json:"isActive"`
	Scopes    []string  `json:"scopes,omitempty"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"`

	ProxyType     string `json:"proxyType,omitempty"`
	ProxyHost     string `json:"proxyHost,omitempty"`
	ProxyPort     int32  `json:"proxyPort,omitempty"`
	ProxyUsername string `json:"proxyUsername,omitempty"`

	Sealed sealed `json:"sealed"`
}

func newRecord(row db.AccountGetCredentialsRow) *record {
	return &record{
		ID: row.ID, Platform: row.Platform, IsActive: row.Status != Inactive && row.Status != InError,
		Scopes: row.Scopes, ExpiresAt: utc(row.TokenExpiresAt),
		ProxyType: row.ProxyType, ProxyHost: row.ProxyHost, ProxyPort: row.ProxyPort, ProxyUsername: row.ProxyUsername,
		Sealed: sealed{row.AccessToken, row.RefreshToken, row.APIKey, row.OtherSecrets, row.ProxyPassword},
	}
}

func encode(r *record) ([]byte, error) { return json.Marshal(r) }

func decode(doc []byte) (*record, error) {
	r := new(record)
	return r, json.Unmarshal(doc, r)
}

// cacheKey is the id behind 16 bytes that spread it evenly, as a table of records
// wants its keys; the outbox's trigger makes the same.
func cacheKey(id uuid.UUID) (key cache.Key) {
	spread := sha256.Sum256(id[:])
	copy(key[:], spread[:len(key)-len(id)])
	copy(key[len(key)-len(id):], id[:])
	return key
}

func idOf(key *cache.Key) uuid.UUID { return uuid.UUID(key[len(key)-len(uuid.UUID{}):]) }

// load reads an account from the primary; nil means that there is none.
func (r *Repo) load(ctx context.Context, key *cache.Key) (*record, error) {
	var row db.AccountGetCredentialsRow
	err := r.Primary.Retrying(1).Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		row, err = r.queries.AccountGetCredentials(ctx, c, idOf(key))
		return err
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return newRecord(row), nil
}
