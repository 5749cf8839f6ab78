package repo

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/legacyobjects"
	"github.com/seed14a526e0/relaystore/repo/monitoring"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
	"github.com/seed14a526e0/relaystore/repo/storage"
	"github.com/seed14a526e0/relaystore/repo/touches"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/strategy"
)

// Client is the contract's DatabaseClient: one repo an interface.
type Client struct {
	// Accounts keeps upstream accounts.
	Accounts *accounts.Repo
	// APIKeys keeps API keys.
	APIKeys *apikeys.Repo
	// Usage keeps usage and cost.
	Usage *usage.Repo
	// Sessions keeps users' sessions.
	Sessions *sessions.Repo
	// Transactions joins calls of the others into one, and changes many rows at once.
	Transactions *Transactions
	// Monitoring says how the data layer does, and tells when a figure passes a threshold.
	Monitoring *monitoring.Repo
	// Storage tells how data types are stored and how the storage does, and switches.
	Storage *storage.Repo
	// LegacyObjects keeps what another service had and no table here holds.
	LegacyObjects *legacyobjects.Repo

	pool     *pgxpool.Pool
	ownsPool bool
	primary  *strategy.Postgres
	cache    *cache.Cache
	journal  *cache.Journal // of usage; nil without write_behind, as is touches
	touches  *touches.Journal
	outbox   *strategy.Outbox
	switches *strategy.Switches
	close    sync.Once
	closeErr error
	tx       *strategy.Tx // of a transaction's own client
}

// Open connects and checks that the database's schema fits this binary. A wrong
// config is InvalidQuery with every contradiction named; an unreachable
// PostgreSQL is ConnectionFailed within ConnectTimeout; an unreachable Redis is
// CacheError with RequireRedis, else a warning; a database that is not migrated
// is a *schema.StateError, whose text names the command that mends it.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	sealer, err := cfg.sealer()
	if err != nil {
		return nil, err
	}
	refresher, err := cfg.refresher()
	if err != nil {
		return nil, err
	}
	c := &Client{}
	if err := c.open(ctx, cfg); err != nil {
		c.release()
		return nil, err
	}
	primary := c.primary
	c.LegacyObjects = legacyobjects.New(legacyobjects.Config{Primary: primary, Sealer: sealer})
	c.Usage = usage.New(usage.Config{
		Primary: primary.For(strategy.Usage), Place: c.switches.Place(strategy.Usage), Keys: c.switches.Place(strategy.APIKey),
		Accounts: c.switches.Place(strategy.Account), RequestIDWindow: cfg.RequestIDWindow, Rests: c.LegacyObjects, Journal: c.journal, Logger: cfg.Logger,
	})
	c.APIKeys = apikeys.New(apikeys.Config{
		Primary: primary.For(strategy.APIKey), Place: c.switches.Place(strategy.APIKey), Cache: c.cache, CachedKeys: cfg.CachedKeys, StaleIfError: cfg.StaleIfError, Ledger: c.Usage,
		LegacyEncryptionKey: cfg.LegacyEncryptionKey, Prefix: cfg.APIKeyPrefix, Touches: c.touches.Kind(strategy.APIKey),
	})
	c.Accounts = accounts.New(accounts.Config{
		Primary: primary.For(strategy.Account), Place: c.switches.Place(strategy.Account), Cache: c.cache, StaleIfError: cfg.StaleIfError, Ledger: c.Usage, Sealer: sealer,
		TokenRefresher: refresher, RefreshAhead: cfg.RefreshAhead, Logger: cfg.Logger, Touches: c.touches.Kind(strategy.Account),
	})
	c.Sessions = sessions.New(sessions.Config{
		Primary: primary.For(strategy.Session), Place: c.switches.Place(strategy.Session), Cache: c.cache, CachedSessions: cfg.CachedSessions, StaleIfError: cfg.StaleIfError,
		MaxSessionData: cfg.MaxSessionData, Touches: c.touches.Kind(strategy.Session),
	})
	c.Transactions = &Transactions{client: c, primary: primary, open: newOpenTransactions(cfg.MaxTransactions, cfg.TxTimeout)}
	c.startStorage()
	c.Monitoring = c.monitoring(cfg)
	if c.cache != nil && cfg.ConsistencyChecks > 0 {
		c.cache.Measure(cfg.ConsistencyChecks)
	}
	c.outbox = &strategy.Outbox{Primary: primary, Cache: c.cache, Listen: c.listen(cfg), Logger: cfg.Logger}
	c.outbox.Start()
	return c, nil
}

// meter gives what measures the queries of the pool. A pool that was passed in has one
// only where its maker gave it one.
func (c *Client) meter(cfg Config) *strategy.Meter {
	if m := strategy.MeterOf(c.pool); m != nil {
		return m
	}
	cfg.Logger.Warn("relaystore: the pool's tracer has no strategy.Meter, so the metrics have no queries")
	return &strategy.Meter{}
}

func (c *Client) sources() monitoring.Sources {
	s := monitoring.Sources{Consistency: c.consistency, Batches: c.Usage.Batches}
	if c.journal != nil {
		s.Journal, s.Touches, s.TouchesDropped = c.Usage.JournalHealth, c.touches.Health, c.touches.Dropped
	}
	return s
}

// consistency is the meter's of all cached kinds.
func (c *Client) consistency() cache.Consistency {
	sum := c.APIKeys.Consistency()
	for _, k := range []cache.Consistency{c.Accounts.Consistency(), c.Sessions.Consistency()} {
		sum.Checked += k.Checked
		sum.Violating += k.Violating
	}
	return sum
}

// inside gives the client of a transaction: every repo of data, on its connection.
func (c *Client) inside(p *strategy.Postgres, tx *strategy.Tx, opts TxOptions) *Client {
	in := &Client{tx: tx, Usage: c.Usage.InTx(p.For(strategy.Usage)), Monitoring: c.Monitoring, Storage: c.Storage}
	in.APIKeys = c.APIKeys.InTx(p.For(strategy.APIKey), in.Usage)
	in.Accounts = c.Accounts.InTx(p.For(strategy.Account), in.Usage)
	in.Sessions = c.Sessions.InTx(p.For(strategy.Session))
	in.LegacyObjects = c.LegacyObjects.InTx(p)
	in.Transactions = &Transactions{client: in, primary: p, open: c.Transactions.open, opts: opts}
	return in
}

// domains are the tables that BatchOperation changes.
func (c *Client) domains() []batch.Domain {
	return []batch.Domain{c.APIKeys.Batch(), c.Sessions.Batch()}
}

// openSwitches hears what has been switched before the first call is served.
func (c *Client) openSwitches(ctx context.Context, cfg Config) error {
	behind := cfg.UsageWrites == WriteBehind
	c.switches = &strategy.Switches{
		Primary: c.primary, Behind: behind, Logger: cfg.Logger, Redis: redisPrimary(cfg),
		Machinery: strategy.Machinery{Cache: cfg.RedisURL != "", Journal: behind, Redis: cfg.PrimaryRedisURL != ""},
	}
	connecting, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	if err := c.switches.Look(connecting); err != nil {
		return unreachable(ctx, err)
	}
	c.switches.Guard(c.primary)
	return c.switches.CheckStored()
}

// startStorage is for when the repos are there to follow switches.
func (c *Client) startStorage() {
	c.switches.Cache = c.cache
	c.switches.WriteBehind = map[strategy.DataType]func(bool){
		strategy.APIKey: c.touches.Kind(strategy.APIKey).Switch, strategy.Account: c.touches.Kind(strategy.Account).Switch,
		strategy.Usage: c.Usage.WriteBehind, strategy.Session: c.touches.Kind(strategy.Session).Switch,
	}
	c.switches.Movers = map[strategy.DataType]strategy.Mover{
		strategy.APIKey: c.touches.Mover(c.APIKeys.Mover()), strategy.Account: c.touches.Mover(c.Accounts.Mover()),
		strategy.Usage: c.Usage.Mover(), strategy.Session: c.touches.Mover(c.Sessions.Mover()),
	}
	c.switches.Start()
	c.touches.Start(func(t strategy.DataType) bool { return c.switches.State(t).Step != "" })
	storing := storage.Config{Primary: c.primary, Cache: c.cache, Switches: c.switches}
	if c.journal != nil {
		storing.Journal, storing.Touches = c.Usage.JournalHealth, c.touches.Health
	}
	c.Storage = storage.New(storing)
}

// monitoring measures this process, and lets alerts watch what it and the storage tell.
func (c *Client) monitoring(cfg Config) *monitoring.Repo {
	sources := make(map[string]monitoring.Source)
	for _, metric := range c.Storage.Metrics() {
		sources[metric] = c.Storage.Measure
	}
	secret, _ := cfg.alertSecret() // Validate has read it
	return monitoring.New(monitoring.Config{
		Primary: c.primary, Cache: c.cache, Sources: c.sources(), Logger: cfg.Logger,
		Alerts: monitoring.AlertsConfig{
			Primary: c.primary, Sources: sources, Secret: secret, PrivateWebhooks: cfg.AlertPrivateWebhooks, Logger: cfg.Logger,
		},
	})
}

// listen is how to hear notifications: past a pooler, which loses them.
func (c *Client) listen(cfg Config) *pgx.ConnConfig {
	if cfg.DirectURL != "" {
		if direct, err := pgx.ParseConfig(cfg.DirectURL); err == nil { // Validate has parsed it
			return direct
		}
	}
	return c.pool.Config().ConnConfig.Copy()
}

func (c *Client) open(ctx context.Context, cfg Config) (err error) {
	if err = c.openPool(ctx, cfg); err != nil {
		return err
	}
	c.primary = &strategy.Postgres{Pool: c.pool, Retry: strategy.DefaultRetry, OpTimeout: cfg.OpTimeout, Meter: c.meter(cfg), Waiting: new(atomic.Int64)}
	if err = c.openSwitches(ctx, cfg); err != nil {
		return err
	}
	return c.openRedis(ctx, cfg)
}

// openRedis opens what the config has of the cache and the journal.
func (c *Client) openRedis(ctx context.Context, cfg Config) (err error) {
	if cfg.RedisURL == "" {
		return nil
	}
	c.cache, err = cache.Open(ctx, cache.Options{
		URL: cfg.RedisURL, Tune: cfg.RedisOption, Prefix: cfg.KeyPrefix, MaxStaleness: cfg.MaxStaleness,
		Require: cfg.RequireRedis, Logger: cfg.Logger,
	})
	if err == nil && cfg.UsageWrites == WriteBehind {
		err = c.openJournals(ctx, cfg)
	}
	if errors.Is(err, cache.ErrNoHashTag) {
		return result.Invalid("RELAYSTORE_KEY_PREFIX", "the Redis is a Cluster: the prefix needs a hash tag, such as {relaystore}:")
	}
	if err != nil {
		return result.From(result.CacheError)
	}
	return nil
}

// openJournals opens that of usage, and that of the other data types, which takes nothing
// until one of them is switched to write_behind.
func (c *Client) openJournals(ctx context.Context, cfg Config) (err error) {
	options := cache.JournalOptions{
		URL: cfg.RedisURL, Tune: cfg.RedisOption, Prefix: cfg.KeyPrefix, Name: "usage", Replicas: cfg.JournalReplicas,
		Limit: cfg.JournalLimit, Require: cfg.RequireRedis, Logger: cfg.Logger,
	}
	if c.journal, err = cache.OpenJournal(ctx, options); err != nil {
		return err
	}
	options.Name, options.Beside = touches.Name, true
	journal, err := cache.OpenJournal(ctx, options)
	if err != nil {
		c.journal.Close(ctx)
		return err
	}
	c.touches = touches.New(journal)
	return nil
}
