package sessions

import (
	"context"
	"time"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/touches"
	"github.com/seed14a526e0/relaystore/strategy"
)

// DefaultCachedSessions is how many sessions a process keeps.
const DefaultCachedSessions = 10_000

// Config is what a Repo stands on.
type Config struct {
	Primary *strategy.Postgres
	// Place tells whether a Redis is the primary instead; nil is never.
	Place *strategy.Place
	// Cache may be nil: every call then reads the primary.
	Cache *cache.Cache
	// CachedSessions is how many sessions the process keeps; 0 is
	// DefaultCachedSessions.
	CachedSessions int
	// StaleIfError is how long cached sessions go on validating while the primary is
	// down, since the last proof of freshness; 0 is not beyond MaxStaleness.
	StaleIfError time.Duration
	// MaxSessionData is how many bytes a session's data may have; 0 is
	// DefaultMaxSessionData.
	MaxSessionData int
	// Touches takes extensions under write_behind; nil writes them through.
	Touches *touches.Kind
}

// Repo is the contract's SessionInterface. It is safe for concurrent use.
type Repo struct {
	Config

	queries  *db.Queries
	records  *cache.Records[record]
	uncached *cache.Records[record] // whole, from the primary each time
	now      func() time.Time
}

// New makes a Repo.
func New(cfg Config) *Repo {
	if cfg.CachedSessions == 0 {
		cfg.CachedSessions = DefaultCachedSessions
	}
	if cfg.MaxSessionData == 0 {
		cfg.MaxSessionData = DefaultMaxSessionData
	}
	r := &Repo{Config: cfg, queries: db.New(), now: time.Now}
	r.records = cache.NewRecords(cfg.Cache, cache.Source[record]{
		Kind: "session", Load: r.loadKept, Encode: encode, Decode: decode, Size: cfg.CachedSessions,
		Timeout: cfg.Primary.OpTimeout, Loads: cfg.Primary.Conns(), Down: strategy.Down, StaleIfError: cfg.StaleIfError,
		Over: func(rec *record) bool { return !rec.validAt(r.now()) },
	})
	r.uncached = cache.NewRecords(nil, cache.Source[record]{Load: r.load, Size: 1, Timeout: cfg.Primary.OpTimeout, Loads: cfg.Primary.Conns()})
	touches.Serve(cfg.Touches, r.applyTouches)
	return r
}

// Consistency tells how many cached answers about sessions this process has compared
// with PostgreSQL, and how many of them PostgreSQL had replaced more than a second
// before. An operator can state the cache's nines with it.
func (r *Repo) Consistency() cache.Consistency { return r.records.Consistency() }

// write is the one way to change sessions: f runs in a transaction and tells the
// hashes whose copies must go before the caller hears that it is done.
func (r *Repo) write(ctx context.Context, f func(context.Context, db.DBTX) (stale []cache.Key, err error)) error {
	var stale []cache.Key
	err := r.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
		stale, err = f(ctx, tx)
		return err
	})
	r.evict(ctx, stale...)
	return err
}

// evict makes cached copies go once the primary has committed, and later calls of
// this process begin look-ups of their own as well.
func (r *Repo) evict(ctx context.Context, keys ...cache.Key) { r.evictAfter(ctx, r.Primary, keys...) }

func (r *Repo) evictAfter(ctx context.Context, primary *strategy.Postgres, keys ...cache.Key) {
	if len(keys) == 0 {
		return
	}
	primary.AfterCommit(ctx, func(ctx context.Context) {
		r.records.Evict(ctx, primary.Clock, keys...)
		r.uncached.Evict(ctx, primary.Clock, keys...)
	})
}

func cacheKeys(hashes [][]byte) []cache.Key {
	keys := make([]cache.Key, len(hashes))
	for i, h := range hashes {
		keys[i] = cache.Key(h) // the table checks its length
	}
	return keys
}
