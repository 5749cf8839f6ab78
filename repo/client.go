package repo

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/legacyobjects"
	"github.com/seed14a526e0/relaystore/repo/monitoring"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
	"github.com/seed14a526e0/relaystore/repo/storage"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/schema"
	"github.com/seed14a526e0/relaystore/strategy"
)

// closeGrace is how long Close listens, after its deadline, for what is not written.
const closeGrace = 250 * time.Millisecond

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
	journal  *cache.Journal // nil under write_through
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
		LegacyEncryptionKey: cfg.LegacyEncryptionKey, Prefix: cfg.APIKeyPrefix,
	})
	c.Accounts = accounts.New(accounts.Config{
		Primary: primary.For(strategy.Account), Place: c.switches.Place(strategy.Account), Cache: c.cache, StaleIfError: cfg.StaleIfError, Ledger: c.Usage, Sealer: sealer,
		TokenRefresher: refresher, RefreshAhead: cfg.RefreshAhead, Logger: cfg.Logger,
	})
	c.Sessions = sessions.New(sessions.Config{
		Primary: primary.For(strategy.Session), Place: c.switches.Place(strategy.Session), Cache: c.cache, CachedSessions: cfg.CachedSessions, StaleIfError: cfg.StaleIfError,
		MaxSessionData: cfg.MaxSessionData,
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
		s.Journal = c.Usage.JournalHealth
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

// redisPrimary connects when a data type is first asked for there.
func redisPrimary(cfg Config) *strategy.Redis {
	if cfg.PrimaryRedisURL == "" {
		return nil
	}
	connect := func(tune func(*rueidis.ClientOption)) (rueidis.Client, error) {
		opt, err := rueidis.ParseURL(cfg.PrimaryRedisURL)
		if err != nil {
			return nil, err
		}
		opt.Dialer.Timeout, opt.ConnWriteTimeout = cfg.ConnectTimeout, cfg.OpTimeout
		opt.DisableCache, opt.DisableRetry, opt.ForceSingleClient = true, true, opt.Sentinel.MasterSet == ""
		if cfg.RedisOption != nil {
			cfg.RedisOption(&opt)
		}
		tune(&opt)
		return rueidis.NewClient(opt)
	}
	return &strategy.Redis{
		Retry: strategy.DefaultRetry, OpTimeout: cfg.OpTimeout, EncryptionKey: cfg.LegacyEncryptionKey,
		Zone:    time.FixedZone("", *cfg.LegacyZoneOffset*3600),
		Connect: func() (rueidis.Client, error) { return connect(func(*rueidis.ClientOption) {}) },
		Watch: func(prefixes []string, changed func([]rueidis.RedisMessage)) (rueidis.Client, error) {
			return connect(func(opt *rueidis.ClientOption) {
				opt.DisableCache, opt.AlwaysRESP2 = false, false
				opt.PipelineMultiplex, opt.BlockingPipeline = -1, -1
				opt.ClientTrackingOptions = []string{"BCAST"}
				for _, p := range prefixes {
					opt.ClientTrackingOptions = append(opt.ClientTrackingOptions, "PREFIX", p)
				}
				opt.OnInvalidations = changed
			})
		},
	}
}

// startStorage is for when the repos are there to follow switches.
func (c *Client) startStorage() {
	c.switches.Cache, c.switches.WriteBehind = c.cache, c.Usage.WriteBehind
	c.switches.Movers = map[strategy.DataType]strategy.Mover{
		strategy.APIKey: c.APIKeys.Mover(), strategy.Account: c.Accounts.Mover(), strategy.Usage: c.Usage.Mover(), strategy.Session: c.Sessions.Mover(),
	}
	c.switches.Start()
	storing := storage.Config{Primary: c.primary, Cache: c.cache, Switches: c.switches}
	if c.journal != nil {
		storing.Journal = c.Usage.JournalHealth
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
		c.journal, err = cache.OpenJournal(ctx, cache.JournalOptions{
			URL: cfg.RedisURL, Tune: cfg.RedisOption, Prefix: cfg.KeyPrefix, Name: "usage", Replicas: cfg.JournalReplicas,
			Limit: cfg.JournalLimit, Require: cfg.RequireRedis, Logger: cfg.Logger,
		})
	}
	if errors.Is(err, cache.ErrNoHashTag) {
		return result.Invalid("RELAYSTORE_KEY_PREFIX", "the Redis is a Cluster: the prefix needs a hash tag, such as {relaystore}:")
	}
	if err != nil {
		return result.From(result.CacheError)
	}
	return nil
}

// openPool connects within ConnectTimeout and looks at the schema.
func (c *Client) openPool(ctx context.Context, cfg Config) error {
	connecting, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	if err := c.makePool(connecting, cfg); err != nil {
		return unreachable(ctx, err)
	}
	if err := c.lookForPooler(connecting, cfg); err != nil {
		return unreachable(ctx, err)
	}
	err := schema.Check(connecting, c.pool)
	var state *schema.StateError
	if err != nil && !errors.As(err, &state) {
		return unreachable(ctx, err)
	}
	return err
}

// makePool needs no PostgreSQL that answers.
func (c *Client) makePool(ctx context.Context, cfg Config) (err error) {
	if c.pool = cfg.Pool; c.pool == nil {
		c.ownsPool = true
		c.pool, err = newPool(ctx, cfg)
	}
	return err
}

// unreachable makes every way of not answering ConnectionFailed, except that the
// caller gave up.
func unreachable(ctx context.Context, err error) error {
	e := result.From(err)
	switch e.Code {
	case result.Cancelled, result.ConnectionTimeout, result.QueryTimeout, result.Internal:
		if ctx.Err() == nil {
			return result.From(result.ConnectionFailed)
		}
	}
	return e
}

func newPool(ctx context.Context, cfg Config) (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig(cfg.DatabaseURL)
	if err != nil {
		return nil, err
	}
	pc.MaxConns = int32(cfg.MaxConns) //nolint:gosec // Validate bounds it
	pc.ConnConfig.ConnectTimeout = cfg.ConnectTimeout
	pc.ConnConfig.Tracer = tracer(cfg)
	pc.PingTimeout = cfg.OpTimeout                          // a half-open connection must not hold its caller
	pc.ConnConfig.RuntimeParams["client_encoding"] = "UTF8" // else it is the database's, and Go's text is taken for that
	if pc.ConnConfig.RuntimeParams["application_name"] == "" {
		pc.ConnConfig.RuntimeParams["application_name"] = "relaystore"
	}
	return pgxpool.NewWithConfig(ctx, pc)
}

func tracer(cfg Config) pgx.QueryTracer {
	meter := &strategy.Meter{Slow: cfg.SlowQuery}
	if cfg.Tracer == nil {
		return meter
	}
	return multitracer.New(meter, cfg.Tracer)
}

// Close rolls open transactions back, writes what is still in memory, drains the
// journal, ends the background work and closes the connections. What is not written
// by ctx's deadline is an error with its number in details.remaining; under
// write_behind, it stays in the journal for other processes. Past ctx's deadline it
// stops waiting for calls that are still running and says so. A second Close gives
// what the first one gave. Close of a transaction's own client rolls that back, where
// it is still open.
func (c *Client) Close(ctx context.Context) error {
	if c.tx != nil {
		c.tx.End("its client was closed")
		return nil
	}
	c.close.Do(func() {
		written, released := make(chan error, 1), make(chan struct{})
		go func() {
			c.Transactions.open.close()
			c.outbox.Close()
			c.switches.Close()
			written <- errors.Join(c.APIKeys.Close(ctx), c.Usage.Close(ctx), c.Accounts.Close(ctx))
			c.Monitoring.Close(ctx) // last, so that it stores what the others' took
			c.release()
			close(released)
		}()
		c.closeErr = writtenBy(ctx, written)
		select {
		case <-released:
		case <-ctx.Done():
			if n := c.pool.Stat().AcquiredConns(); n > 0 || c.closeErr == nil {
				c.closeErr = errors.Join(c.closeErr, result.New(result.QueryTimeout, "the deadline of Close passed with %d database connections still in use", n))
			}
		}
	})
	return c.closeErr
}

// writtenBy waits until ctx ends, and then a moment to hear what is not written.
func writtenBy(ctx context.Context, written <-chan error) error {
	select {
	case err := <-written:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-written:
		return err
	case <-time.After(closeGrace):
		return nil
	}
}

// release closes the connections, when the calls that hold them have ended.
func (c *Client) release() {
	c.cache.Close()
	if c.switches != nil {
		c.switches.Redis.Close()
	}
	if c.pool != nil && c.ownsPool {
		c.pool.Close()
	}
}
