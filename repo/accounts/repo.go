package accounts

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/touches"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/strategy"
)

// cachedAccounts is how many accounts' credentials a process keeps, sealed.
const cachedAccounts = 10_000

// Ledger is where the usage of accounts is known.
type Ledger interface {
	// AccountTotals gives the sums of all time for each id that has any.
	AccountTotals(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]usage.Totals, error)
}

// Config is what a Repo stands on.
type Config struct {
	Primary *strategy.Postgres
	// Place tells whether a Redis is the primary instead; nil is never.
	Place *strategy.Place
	// Cache may be nil: every call then reads the primary.
	Cache *cache.Cache
	// StaleIfError is how long cached credentials are given while the primary is
	// down, since the last proof of freshness; 0 is not beyond MaxStaleness.
	StaleIfError time.Duration
	Ledger       Ledger
	// Sealer may be nil: accounts with secrets are refused then.
	Sealer *seal.Sealer
	// TokenRefresher may be nil: RefreshOAuthToken is refused then.
	TokenRefresher TokenRefresher
	// RefreshAhead is how long before its expiry a token is refreshed without a call;
	// 0 is never.
	RefreshAhead time.Duration
	// Touches takes statuses under write_behind; nil writes them through.
	Touches *touches.Kind
	// Logger takes one line a change of state; nil is slog.Default().
	Logger *slog.Logger
}

// Repo is the contract's ClaudeAccountInterface. It is safe for concurrent use.
type Repo struct {
	Config

	queries   *db.Queries
	records   *cache.Records[record]
	refreshes *refreshes
	uses      *uses
	legacy    *legacyState
	moments   *moments // of statuses
	now       func() time.Time

	outer   *Repo     // of one inside a transaction: the one outside
	changed *sync.Map // the ids that its transaction has written
}

// New makes a Repo, whose background work Close ends.
func New(cfg Config) *Repo {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	r := &Repo{Config: cfg, refreshes: newRefreshes(cfg.Primary.OpTimeout), legacy: newLegacyState(), queries: db.New(), uses: newUses(), moments: new(moments), now: time.Now}
	r.records = cache.NewRecords(cfg.Cache, cache.Source[record]{
		Kind: "account", Load: r.load, Encode: encode, Decode: decode, Size: cachedAccounts, Timeout: cfg.Primary.OpTimeout,
		Loads: cfg.Primary.Conns(), Down: strategy.Down, StaleIfError: cfg.StaleIfError,
	})
	touches.Serve(cfg.Touches, r.applyStatuses)
	r.startAhead()
	return r
}

// Consistency tells how many cached answers about credentials this process has compared
// with PostgreSQL, and how many of them PostgreSQL had replaced more than a second
// before. An operator can state the cache's nines with it.
func (r *Repo) Consistency() cache.Consistency { return r.records.Consistency() }

// write is the one way to change an account: f runs in a transaction, and the
// cached copies go before the caller hears that it is done.
func (r *Repo) write(ctx context.Context, id uuid.UUID, f func(context.Context, db.DBTX) error) error {
	err := r.Primary.Write(ctx, f)
	r.evict(ctx, id)
	return named(err)
}

// named adds to a duplicate which field it is.
func named(err error) error {
	if err == nil {
		return nil
	}
	if e := result.From(err); e.Constraint == "accounts_pkey" {
		return e.With("field", "id")
	}
	return err
}

// tick is the clock in what PostgreSQL can hold.
func (r *Repo) tick() time.Time { return r.now().UTC().Truncate(time.Microsecond) }
