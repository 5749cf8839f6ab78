package apikeys

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/strategy"
)

// DefaultPrefix starts a new key's plaintext, as the legacy service's default does.
const DefaultPrefix = "cr_"

// Ledger is what RecordAPIKeyUsage writes to.
type Ledger interface {
	RecordKeyUsage(ctx context.Context, rec usage.Record) result.Status
}

// Config is what a Repo stands on.
type Config struct {
	Primary *strategy.Postgres
	// Cache may be nil: every call then reads the primary.
	Cache  *cache.Cache
	Ledger Ledger
	// LegacyEncryptionKey is the legacy service's ENCRYPTION_KEY, taken as text;
	// "" turns the legacy scheme off.
	LegacyEncryptionKey string
	// Prefix starts new plaintexts; "" is DefaultPrefix.
	Prefix string
}

// Repo is the contract's ApiKeyInterface. It is safe for concurrent use.
type Repo struct {
	Config

	queries *db.Queries
	used    *lastUsed
	now     func() time.Time
}

// New makes a Repo, whose background work Close ends.
func New(cfg Config) *Repo {
	if cfg.Prefix == "" {
		cfg.Prefix = DefaultPrefix
	}
	r := &Repo{Config: cfg, queries: db.New(), now: time.Now}
	r.used = newLastUsed(r.storeLastUsed)
	return r
}

// Close writes the last uses that are not stored yet, within ctx.
func (r *Repo) Close(ctx context.Context) error { return r.used.close(ctx) }

// write is the one way to change keys: f runs in a transaction and tells the
// hashes whose copies must go before the caller hears that it is done.
func (r *Repo) write(ctx context.Context, f func(context.Context, db.DBTX) (hashes [][]byte, err error)) error {
	var stale [][]byte
	err := r.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
		stale, err = f(ctx, tx)
		return err
	})
	r.Cache.Evict(ctx, cacheKeys(stale)...)
	return named(err)
}

func cacheKeys(hashes [][]byte) []string {
	keys := make([]string, 0, len(hashes))
	for _, h := range hashes {
		if h != nil {
			keys = append(keys, cacheKey(h))
		}
	}
	return keys
}

func cacheKey(hash []byte) string { return "apikey:" + hex.EncodeToString(hash) }

// identities maps the constraints that a duplicate breaks to the field.
var identities = map[string]string{
	"api_keys_pkey":        "id",
	"api_keys_hashed_key":  "hashedKey",
	"api_keys_legacy_hash": "hashedKey",
}

// named adds to a duplicate which field it is.
func named(err error) error {
	if err == nil {
		return nil
	}
	e := result.From(err)
	if field := identities[e.Constraint]; field != "" {
		return e.With("field", field)
	}
	return err
}
