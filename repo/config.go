package repo

import (
	"cmp"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// Defaults of a Config.
const (
	DefaultKeyPrefix      = "relaystore:"
	DefaultMaxConns       = 16
	DefaultConnectTimeout = 5 * time.Second
	DefaultOpTimeout      = 5 * time.Second
	DefaultMaxStaleness   = 5 * time.Second
	DefaultTxTimeout      = 30 * time.Second
)

const (
	maxConnsLimit  = 10_000
	maxCachedKeys  = 100_000_000
	maxChecks      = 1_000
	minChecks      = 0.001
	minStaleness   = 2 * time.Second // a proof of freshness is up to a second old when it comes
	maxStale       = 24 * time.Hour
	maxTimeout     = 10 * time.Minute
	maxPrefix      = 64
	maxWindow      = 3660 * 24 * time.Hour
	shortestWindow = 24 * time.Hour
)

// Config says where data is and how calls behave. Zero fields take the defaults.
// Its JSON-like field names in errors are those of the environment's variables.
type Config struct {
	// DatabaseURL is PostgreSQL's, as pgx takes it. Env DATABASE_URL.
	DatabaseURL string
	// DirectURL is PostgreSQL's past a transaction pooler, for migrations and
	// LISTEN; "" means DatabaseURL. Env RELAYSTORE_DIRECT_URL.
	DirectURL string
	// RedisURL is redis://, rediss:// or unix://; "" means no cache. Env REDIS_URL.
	RedisURL string
	// KeyPrefix starts every key in Redis. Env RELAYSTORE_KEY_PREFIX.
	KeyPrefix string
	// MaxConns bounds the PostgreSQL connections. Env RELAYSTORE_MAX_CONNS.
	MaxConns int
	// MaxTransactions bounds the transactions that are open at a time, each of which
	// keeps a connection: below MaxConns, 0 is half of it. With one connection there
	// are none. Env RELAYSTORE_MAX_TRANSACTIONS.
	MaxTransactions int
	// TxTimeout is how long a transaction may take that names no timeout. Env
	// RELAYSTORE_TX_TIMEOUT.
	TxTimeout time.Duration
	// RequireRedis makes an unreachable Redis an error of Open; else Open warns,
	// works without a cache and uses Redis once it is there. Env
	// RELAYSTORE_REQUIRE_REDIS.
	RequireRedis bool
	// ConnectTimeout bounds connecting to PostgreSQL, at Open and later. It goes
	// before a connect_timeout in the URL. Env RELAYSTORE_CONNECT_TIMEOUT.
	ConnectTimeout time.Duration
	// OpTimeout bounds calls whose context has no deadline. Env
	// RELAYSTORE_OP_TIMEOUT.
	OpTimeout time.Duration
	// MaxStaleness is how old a cached answer may be where no invalidation
	// reaches it. Env RELAYSTORE_MAX_STALENESS.
	MaxStaleness time.Duration
	// StaleIfError is how long cached keys go on validating while PostgreSQL is
	// down, since the last proof that they were fresh; 0 is MaxStaleness. Env
	// RELAYSTORE_STALE_IF_ERROR.
	StaleIfError time.Duration
	// CachedKeys is how many API keys a process keeps before it evicts, at about
	// 1 KiB each; it may keep up to four times as many. Env RELAYSTORE_CACHED_KEYS.
	CachedKeys int
	// ConsistencyChecks is how many cached answers a second a process compares
	// with PostgreSQL; 0 is one, a negative number none. Env
	// RELAYSTORE_CONSISTENCY_CHECKS.
	ConsistencyChecks float64
	// RequestIDWindow is how long a record's RequestID is remembered, at least
	// 24 h. Env RELAYSTORE_REQUEST_ID_WINDOW.
	RequestIDWindow time.Duration
	// LegacyEncryptionKey is the legacy service's ENCRYPTION_KEY, as text: keys
	// hashed with it go on validating. Env RELAYSTORE_LEGACY_ENCRYPTION_KEY.
	LegacyEncryptionKey string
	// APIKeyPrefix starts new keys' plaintexts. Env RELAYSTORE_API_KEY_PREFIX.
	APIKeyPrefix string

	// Logger takes one line a change of state; nil is slog.Default().
	Logger *slog.Logger
	// Pool is used instead of one made from DatabaseURL; Close leaves it open.
	Pool *pgxpool.Pool
	// RedisOption changes the cache client's options before it connects.
	RedisOption func(*rueidis.ClientOption)
}

// MigrateURL is where migrations run: DirectURL or else DatabaseURL.
func (c Config) MigrateURL() string {
	if c.DirectURL != "" {
		return c.DirectURL
	}
	return c.DatabaseURL
}

// Validate names every field that is wrong or contradicts another.
func (c Config) Validate() error {
	return errors.Join(c.checkSources(), c.checkBounds(), c.checkTexts())
}

func (c Config) checkSources() error {
	var errs []error
	bad := func(when bool, field, why string) {
		if when {
			errs = append(errs, result.Invalid(field, "%s", why))
		}
	}
	bad(c.DatabaseURL == "" && c.Pool == nil, "DATABASE_URL", "required, unless a Pool is passed in")
	bad(c.DatabaseURL != "" && c.Pool != nil, "DATABASE_URL", "contradicts Pool: give one of them")
	bad(c.MaxConns != 0 && c.Pool != nil, "RELAYSTORE_MAX_CONNS", "contradicts Pool, which has its own bound")
	bad(c.ConnectTimeout != 0 && c.Pool != nil, "RELAYSTORE_CONNECT_TIMEOUT", "contradicts Pool, which has its own")
	bad(c.RedisURL == "" && c.RequireRedis, "RELAYSTORE_REQUIRE_REDIS", "contradicts an empty REDIS_URL")
	bad(c.RedisURL == "" && c.RedisOption != nil, "REDIS_URL", "required by RedisOption")
	bad(c.RedisURL == "" && c.MaxStaleness != 0, "RELAYSTORE_MAX_STALENESS", "means nothing without REDIS_URL")
	bad(c.RedisURL == "" && c.StaleIfError != 0, "RELAYSTORE_STALE_IF_ERROR", "means nothing without REDIS_URL")
	bad(c.RedisURL == "" && c.CachedKeys != 0, "RELAYSTORE_CACHED_KEYS", "means nothing without REDIS_URL")
	bad(c.StaleIfError != 0 && c.StaleIfError < cmp.Or(c.MaxStaleness, DefaultMaxStaleness), "RELAYSTORE_STALE_IF_ERROR", "contradicts a longer RELAYSTORE_MAX_STALENESS")
	if c.DatabaseURL != "" {
		_, err := pgxpool.ParseConfig(c.DatabaseURL)
		bad(err != nil, "DATABASE_URL", "cannot be parsed")
	}
	if c.DirectURL != "" {
		_, err := pgxpool.ParseConfig(c.DirectURL)
		bad(err != nil, "RELAYSTORE_DIRECT_URL", "cannot be parsed")
	}
	if c.RedisURL != "" {
		_, err := rueidis.ParseURL(c.RedisURL)
		bad(err != nil, "REDIS_URL", "cannot be parsed")
	}
	return errors.Join(errs...)
}

func (c Config) checkBounds() error {
	var errs []error
	if c.MaxConns < 0 || c.MaxConns > maxConnsLimit {
		errs = append(errs, result.Invalid("RELAYSTORE_MAX_CONNS", "must lie between 1 and %d", maxConnsLimit))
	}
	if c.MaxTransactions < 0 || c.MaxTransactions > 0 && c.MaxTransactions >= c.conns() {
		errs = append(errs, result.Invalid("RELAYSTORE_MAX_TRANSACTIONS", "must lie between 1 and one less than the %d connections", c.conns()))
	}
	if rate := c.ConsistencyChecks; !(rate <= 0 || rate >= minChecks && rate <= maxChecks) { // NaN as well
		errs = append(errs, result.Invalid("RELAYSTORE_CONSISTENCY_CHECKS", "must lie between %g and %d, or be negative", minChecks, maxChecks))
	}
	if c.CachedKeys < 0 || c.CachedKeys > maxCachedKeys {
		errs = append(errs, result.Invalid("RELAYSTORE_CACHED_KEYS", "must lie between 1 and %d", maxCachedKeys))
	}
	for _, d := range []struct {
		name      string
		value     time.Duration
		low, high time.Duration
	}{
		{"RELAYSTORE_CONNECT_TIMEOUT", c.ConnectTimeout, time.Millisecond, maxTimeout},
		{"RELAYSTORE_OP_TIMEOUT", c.OpTimeout, time.Millisecond, maxTimeout},
		{"RELAYSTORE_TX_TIMEOUT", c.TxTimeout, time.Millisecond, maxTimeout},
		{"RELAYSTORE_MAX_STALENESS", c.MaxStaleness, minStaleness, maxTimeout},
		{"RELAYSTORE_STALE_IF_ERROR", c.StaleIfError, time.Second, maxStale},
		{"RELAYSTORE_REQUEST_ID_WINDOW", c.RequestIDWindow, shortestWindow, maxWindow},
	} {
		if d.value != 0 && (d.value < d.low || d.value > d.high) {
			errs = append(errs, result.Invalid(d.name, "must lie between %s and %s", d.low, d.high))
		}
	}
	return errors.Join(errs...)
}

func (c Config) checkTexts() error {
	var errs []error
	for _, t := range []struct{ name, text string }{
		{"RELAYSTORE_KEY_PREFIX", c.KeyPrefix}, {"RELAYSTORE_API_KEY_PREFIX", c.APIKeyPrefix},
	} {
		if err := result.CheckText(t.name, t.text, maxPrefix); err != nil {
			errs = append(errs, err)
		}
		if strings.ContainsAny(t.text, " \t\r\n{}*?[]") {
			errs = append(errs, result.Invalid(t.name, "must not hold spaces, braces or wildcards"))
		}
	}
	return errors.Join(append(errs, result.CheckText("RELAYSTORE_LEGACY_ENCRYPTION_KEY", c.LegacyEncryptionKey, 1024))...)
}

// conns is how many connections the pool may have.
func (c Config) conns() int {
	if c.Pool != nil {
		return int(c.Pool.Config().MaxConns)
	}
	return cmp.Or(c.MaxConns, DefaultMaxConns)
}

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.ConnectTimeout, DefaultConnectTimeout)
	def(&c.OpTimeout, DefaultOpTimeout)
	def(&c.TxTimeout, DefaultTxTimeout)
	def(&c.MaxStaleness, DefaultMaxStaleness)
	def(&c.RequestIDWindow, usage.DefaultRequestIDWindow)
	if c.KeyPrefix == "" {
		c.KeyPrefix = DefaultKeyPrefix
	}
	if c.APIKeyPrefix == "" {
		c.APIKeyPrefix = apikeys.DefaultPrefix
	}
	if c.MaxConns == 0 {
		c.MaxConns = DefaultMaxConns
	}
	if c.MaxTransactions == 0 {
		c.MaxTransactions = c.conns() / 2
	}
	if c.ConsistencyChecks == 0 {
		c.ConsistencyChecks = 1
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}
