package apikeys

import (
	"context"
	"time"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/touches"
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
	// Place tells whether a Redis is the primary instead; nil is never.
	Place *strategy.Place
	// Cache may be nil: every call then reads the primary.
	Cache *cache.Cache
	// CachedKeys is how many keys the process keeps; 0 is cache.DefaultRecords.
	CachedKeys int
	// StaleIfError is how long cached keys go on validating while the primary is
	// down, since the last proof of freshness; 0 is not at all once the cache is not
	// fresh.
	StaleIfError time.Duration
	Ledger       Ledger
	// Touches takes last uses under write_behind; nil stores them in the primary.
	Touches *touches.Kind
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
	records *cache.Records[record]
	used    *lastUsed
	now     func() time.Time
}

// New makes a Repo, whose background work Close ends.
func New(cfg Config) *Repo {
	if cfg.Prefix == "" {
		cfg.Prefix = DefaultPrefix
	}
	r := &Repo{Config: cfg, queries: db.New(), now: time.Now}
	r.records = cache.NewRecords(cfg.Cache, cache.Source[record]{
		Kind: "apikey", Load: r.load, Encode: encode, Decode: decode, Size: cfg.CachedKeys, Timeout: cfg.Primary.OpTimeout,
		Loads: cfg.Primary.Conns(), Down: strategy.Down, StaleIfError: cfg.StaleIfError,
	})
	touches.Serve(cfg.Touches, r.applyUses)
	r.used = newLastUsed(r.noteUses)
	return r
}

// Close writes the last uses that are not stored yet, within ctx.
func (r *Repo) Close(ctx context.Context) error {
	if r.Primary.InTx() {
		return nil
	}
	return r.used.close(ctx)
}

// Consistency tells how many cached answers about keys this process has compared
// with PostgreSQL, and how many of them PostgreSQL had replaced more than a second
// before. An operator can state the cache's nines with it.
func (r *Repo) Consistency() cache.Consistency { return r.records.Consistency() }

// Evictions counts the cached keys that went for others' sake. Where it grows all the
// time, CachedKeys is too small.
func (r *Repo) Evictions() int64 { return r.records.Evictions() }

// write is the one way to change keys: f runs in a transaction and tells the
// hashes whose copies must go before the caller hears that it is done.
func (r *Repo) write(ctx context.Context, f func(context.Context, db.DBTX) (hashes [][]byte, err error)) error {
	var stale [][]byte
	err := r.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
		stale, err = f(ctx, tx)
		return err
	})
	r.evict(ctx, r.Primary, stale)
	return named(err)
}

// evict makes cached copies go once the primary has committed.
func (r *Repo) evict(ctx context.Context, primary *strategy.Postgres, hashes [][]byte) {
	keys := cacheKeys(hashes)
	if len(keys) > 0 {
		primary.AfterCommit(ctx, func(ctx context.Context) { r.records.Evict(ctx, primary.Clock, keys...) })
	}
}

func cacheKeys(hashes [][]byte) []cache.Key {
	keys := make([]cache.Key, 0, len(hashes))
	for _, h := range hashes {
		if len(h) == hashBytes {
			keys = append(keys, cache.Key(h))
		}
	}
	return keys
}

const legacyHashIndex = "api_keys_legacy_hash"

// identities maps the constraints that a duplicate breaks to the field. KeyData has one
// for hashes of both schemes; a batch has columns.
var identities = map[string]string{
	"api_keys_pkey":       "id",
	"api_keys_hashed_key": "hashedKey",
	legacyHashIndex:       "hashedKey",
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
