package repo

import (
	"cmp"
	"errors"
	"log/slog"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/accounts/oauth"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/monitoring"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/strategy"
)

// Defaults of a Config.
const (
	DefaultKeyPrefix      = "relaystore:"
	DefaultMaxConns       = 16
	DefaultConnectTimeout = 5 * time.Second
	DefaultOpTimeout      = 5 * time.Second
	DefaultMaxStaleness   = 5 * time.Second
	DefaultTxTimeout      = 30 * time.Second
	DefaultSlowQuery      = strategy.DefaultSlowQuery
)

// UsageWrites of a Config, by the contract's names.
const (
	// WriteThrough: RecordUsage returns when its record is in PostgreSQL.
	WriteThrough = "write_through"
	// WriteBehind: it returns when the record is in the journal, a Redis Stream that
	// processes flush to PostgreSQL.
	WriteBehind = "write_behind"
)

const (
	maxReplicas    = 16
	minJournal     = 1_000
	maxJournal     = 1_000_000_000
	maxConnsLimit  = 10_000
	maxCachedKeys  = 100_000_000
	minSessionData = 2 // {}
	maxSessionData = 1 << 20
	maxChecks      = 1_000
	minChecks      = 0.001
	minStaleness   = 2 * time.Second // a proof of freshness is up to a second old when it comes
	maxStale       = 24 * time.Hour
	maxTimeout     = 10 * time.Minute
	maxPrefix      = 64
	maxWindow      = 3660 * 24 * time.Hour
	shortestWindow = 24 * time.Hour
)

var (
	apiKeyPrefix = regexp.MustCompile(`^[^ \t\r\n{}*?[\]]*$`)
	// keyPrefix may hold the hash tag of a Redis Cluster.
	keyPrefix = regexp.MustCompile(`^[^ \t\r\n{}*?[\]]*(\{[^ \t\r\n{}*?[\]]+\}[^ \t\r\n{}*?[\]]*)?$`)
)

// Config says where data is and how calls behave. Zero fields take the defaults.
// Its JSON-like field names in errors are those of the environment's variables.
type Config struct {
	// DatabaseURL is PostgreSQL's, as pgx takes it. Env DATABASE_URL.
	DatabaseURL string
	// DirectURL is PostgreSQL's past a transaction pooler, for migrations and
	// LISTEN; "" means DatabaseURL. Env RELAYSTORE_DIRECT_URL.
	DirectURL string
	// RedisURL is redis://, rediss:// or unix://; "" means no cache. Of a Cluster it
	// names several nodes: redis://one:6379?addr=two:6379. Env REDIS_URL.
	RedisURL string
	// PrimaryRedisURL is the Redis that may be a data type's primary, in the legacy
	// service's layout; "" means RedisURL. It is not a Cluster. Env
	// RELAYSTORE_PRIMARY_REDIS_URL.
	PrimaryRedisURL string
	// KeyPrefix starts every key of the cache in Redis. In a Cluster it needs a hash tag,
	// such as {relaystore}:, which keeps them on one master. Env RELAYSTORE_KEY_PREFIX.
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
	// StaleIfError is how long cached keys, credentials and sessions go on while
	// PostgreSQL is down, since the last proof that they were fresh; 0 is MaxStaleness. Env
	// RELAYSTORE_STALE_IF_ERROR.
	StaleIfError time.Duration
	// CachedKeys is how many API keys a process keeps before it evicts, at about
	// 1 KiB each; it may keep up to four times as many. Env RELAYSTORE_CACHED_KEYS.
	CachedKeys int
	// CachedSessions is how many sessions a process keeps before it evicts, at about
	// 0.5 KiB and their data each (at most 4 KiB of it); it may keep up to four times
	// as many. Env RELAYSTORE_CACHED_SESSIONS.
	CachedSessions int
	// MaxSessionData is how many bytes a session's data may have. Env
	// RELAYSTORE_MAX_SESSION_DATA.
	MaxSessionData int
	// ConsistencyChecks is how many cached answers a second a process compares
	// with PostgreSQL; 0 is one, a negative number none. Env
	// RELAYSTORE_CONSISTENCY_CHECKS.
	ConsistencyChecks float64
	// RequestIDWindow is how long a record's RequestID is remembered, at least
	// 24 h. Env RELAYSTORE_REQUEST_ID_WINDOW.
	RequestIDWindow time.Duration
	// UsageWrites is WriteThrough (the zero value's meaning) or WriteBehind, which also lets
	// the other data types be switched to that. Env RELAYSTORE_USAGE_WRITES.
	UsageWrites string
	// JournalReplicas is how many replicas of Redis must have a record, or a touch, before
	// WriteBehind acknowledges it. Env RELAYSTORE_JOURNAL_REPLICAS.
	JournalReplicas int
	// JournalLimit bounds the records in the journal, at about 400 bytes of Redis
	// each: callers wait while it is full, up to their deadline. That of touches has the
	// same bound: they are written through while it is full. Env RELAYSTORE_JOURNAL_LIMIT.
	JournalLimit int
	// LegacyEncryptionKey is the legacy service's ENCRYPTION_KEY, as text: keys
	// hashed with it go on validating. Env RELAYSTORE_LEGACY_ENCRYPTION_KEY.
	LegacyEncryptionKey string
	// LegacyZoneOffset is the legacy service's TIMEZONE_OFFSET, -12 to 14 hours, in
	// which a Redis primary names hours, days and months; nil is
	// strategy.DefaultZoneOffset. Env RELAYSTORE_LEGACY_TZ_OFFSET.
	LegacyZoneOffset *int
	// APIKeyPrefix starts new keys' plaintexts. Env RELAYSTORE_API_KEY_PREFIX.
	APIKeyPrefix string
	// Keyset seals the secrets of accounts: AEAD keys of Tink. Without one, accounts
	// with secrets are refused. Env RELAYSTORE_KEYSET, in Tink's JSON.
	Keyset *keyset.Handle
	// KeysetFile is a file that holds the keyset instead, and that nobody but its
	// owner may read. Env RELAYSTORE_KEYSET_FILE.
	KeysetFile string
	// OAuth says where accounts' tokens are refreshed, by platform; none are without
	// it. Env RELAYSTORE_OAUTH, a JSON object.
	OAuth oauth.Endpoints
	// TokenRefresher refreshes them in another way, in place of OAuth.
	TokenRefresher accounts.TokenRefresher
	// RefreshAhead is how long before its expiry the token of an account that is not in
	// error is refreshed without a call; 0 is never. Env RELAYSTORE_REFRESH_AHEAD.
	RefreshAhead time.Duration
	// SlowQuery is how long a query takes that counts as slow. Env
	// RELAYSTORE_SLOW_QUERY.
	SlowQuery time.Duration
	// AlertSecret signs the webhooks of alerts: 24 to 64 bytes in base64, with or without
	// "whsec_" before them; without it, alerts have none. Env RELAYSTORE_ALERT_SECRET.
	AlertSecret string
	// AlertPrivateWebhooks lets webhooks be at addresses that are not public. Env
	// RELAYSTORE_ALERT_PRIVATE_WEBHOOKS.
	AlertPrivateWebhooks bool

	// Tracer sees every query beside the library's own meter, such as otelpgx's for
	// OpenTelemetry; see docs/monitoring.md. It may implement pgx's other tracers, too.
	Tracer pgx.QueryTracer
	// Logger takes one line a change of state; nil is slog.Default().
	Logger *slog.Logger
	// Pool is used instead of one made from DatabaseURL; Close leaves it open. Its
	// queries are measured where its tracer is a *strategy.Meter, or a multitracer's
	// with one among them; else Open warns. Two clients on one pool count its queries
	// twice.
	Pool *pgxpool.Pool
	// RedisOption changes the options of each Redis client before it connects.
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
	return errors.Join(c.checkSources(), c.checkBounds(), c.checkTexts(), c.checkJournal())
}

func (c Config) checkJournal() error {
	var errs []error
	bad := func(when bool, field, format string, args ...any) {
		if when {
			errs = append(errs, result.Invalid(field, format, args...))
		}
	}
	behind := c.UsageWrites == WriteBehind
	bad(!behind && c.UsageWrites != "" && c.UsageWrites != WriteThrough, "RELAYSTORE_USAGE_WRITES", "must be %s or %s", WriteThrough, WriteBehind)
	bad(behind && c.RedisURL == "", "RELAYSTORE_USAGE_WRITES", "%s needs REDIS_URL", WriteBehind)
	bad(!behind && c.JournalReplicas != 0, "RELAYSTORE_JOURNAL_REPLICAS", "means nothing without %s", WriteBehind)
	bad(!behind && c.JournalLimit != 0, "RELAYSTORE_JOURNAL_LIMIT", "means nothing without %s", WriteBehind)
	bad(c.JournalReplicas < 0 || c.JournalReplicas > maxReplicas, "RELAYSTORE_JOURNAL_REPLICAS", "must lie between 0 and %d", maxReplicas)
	bad(c.JournalLimit != 0 && (c.JournalLimit < minJournal || c.JournalLimit > maxJournal), "RELAYSTORE_JOURNAL_LIMIT",
		"must lie between %d and %d", minJournal, maxJournal)
	return errors.Join(errs...)
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
	bad(c.Tracer != nil && c.Pool != nil, "DATABASE_URL", "required by Tracer: a Pool has its own")
	bad(c.SlowQuery != 0 && c.Pool != nil, "RELAYSTORE_SLOW_QUERY", "contradicts Pool, whose Meter has its own")
	bad(c.LegacyZoneOffset != nil && (*c.LegacyZoneOffset < -12 || *c.LegacyZoneOffset > 14), "RELAYSTORE_LEGACY_TZ_OFFSET", "must lie between -12 and 14")
	bad(c.RedisURL == "" && c.RequireRedis, "RELAYSTORE_REQUIRE_REDIS", "contradicts an empty REDIS_URL")
	bad(c.RedisURL == "" && c.RedisOption != nil, "REDIS_URL", "required by RedisOption")
	bad(c.RedisURL == "" && c.MaxStaleness != 0, "RELAYSTORE_MAX_STALENESS", "means nothing without REDIS_URL")
	bad(c.RedisURL == "" && c.StaleIfError != 0, "RELAYSTORE_STALE_IF_ERROR", "means nothing without REDIS_URL")
	bad(c.RedisURL == "" && c.CachedKeys != 0, "RELAYSTORE_CACHED_KEYS", "means nothing without REDIS_URL")
	bad(c.RedisURL == "" && c.CachedSessions != 0, "RELAYSTORE_CACHED_SESSIONS", "means nothing without REDIS_URL")
	bad(c.StaleIfError != 0 && c.StaleIfError < cmp.Or(c.MaxStaleness, DefaultMaxStaleness), "RELAYSTORE_STALE_IF_ERROR", "contradicts a longer RELAYSTORE_MAX_STALENESS")
	bad(c.Keyset != nil && c.KeysetFile != "", "RELAYSTORE_KEYSET", "contradicts RELAYSTORE_KEYSET_FILE: give one of them")
	bad(len(c.OAuth) > 0 && c.TokenRefresher != nil, "RELAYSTORE_OAUTH", "contradicts TokenRefresher: give one of them")
	bad(c.RefreshAhead != 0 && len(c.OAuth) == 0 && c.TokenRefresher == nil, "RELAYSTORE_REFRESH_AHEAD", "means nothing without RELAYSTORE_OAUTH")
	if _, err := oauth.New(c.OAuth); err != nil && len(c.OAuth) > 0 {
		bad(true, "RELAYSTORE_OAUTH", result.From(err).Message)
	}
	if _, err := c.alertSecret(); err != nil {
		bad(true, "RELAYSTORE_ALERT_SECRET", result.From(err).Message)
	}
	bad(c.AlertPrivateWebhooks && c.AlertSecret == "", "RELAYSTORE_ALERT_PRIVATE_WEBHOOKS", "means nothing without RELAYSTORE_ALERT_SECRET")
	if c.Keyset != nil {
		_, err := seal.New(c.Keyset)
		bad(err != nil, "RELAYSTORE_KEYSET", seal.ErrKeyset.Error())
	}
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
	if c.CachedSessions < 0 || c.CachedSessions > maxCachedKeys {
		errs = append(errs, result.Invalid("RELAYSTORE_CACHED_SESSIONS", "must lie between 1 and %d", maxCachedKeys))
	}
	if n := c.MaxSessionData; n != 0 && (n < minSessionData || n > maxSessionData) {
		errs = append(errs, result.Invalid("RELAYSTORE_MAX_SESSION_DATA", "must lie between %d and %d", minSessionData, maxSessionData))
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
		{"RELAYSTORE_REFRESH_AHEAD", c.RefreshAhead, time.Second, maxStale},
		{"RELAYSTORE_SLOW_QUERY", c.SlowQuery, time.Millisecond, maxTimeout},
	} {
		if d.value != 0 && (d.value < d.low || d.value > d.high) {
			errs = append(errs, result.Invalid(d.name, "must lie between %s and %s", d.low, d.high))
		}
	}
	return errors.Join(errs...)
}

func (c Config) checkTexts() error {
	var errs []error
	for _, t := range []struct {
		name, text string
		fits       *regexp.Regexp
		not        string
	}{
		{"RELAYSTORE_KEY_PREFIX", c.KeyPrefix, keyPrefix, "spaces, wildcards, or braces but those of one hash tag"},
		{"RELAYSTORE_API_KEY_PREFIX", c.APIKeyPrefix, apiKeyPrefix, "spaces, braces or wildcards"},
	} {
		if err := result.CheckText(t.name, t.text, maxPrefix); err != nil {
			errs = append(errs, err)
		}
		if !t.fits.MatchString(t.text) {
			errs = append(errs, result.Invalid(t.name, "must not hold %s", t.not))
		}
	}
	return errors.Join(append(errs, result.CheckText("RELAYSTORE_LEGACY_ENCRYPTION_KEY", c.LegacyEncryptionKey, 1024))...)
}

// sealer gives what seals secrets; nil without a keyset.
func (c Config) sealer() (*seal.Sealer, error) {
	h := c.Keyset
	if c.KeysetFile != "" {
		var err error
		if h, err = seal.ReadFile(c.KeysetFile); err != nil {
			return nil, result.Invalid("RELAYSTORE_KEYSET_FILE", "%s", err)
		}
	}
	if h == nil {
		return nil, nil
	}
	return seal.New(h)
}

// alertSecret gives what signs webhooks; nil without one.
func (c Config) alertSecret() ([]byte, error) {
	if c.AlertSecret == "" {
		return nil, nil
	}
	return monitoring.ParseAlertSecret(c.AlertSecret)
}

// refresher gives what refreshes tokens; nil without a way.
func (c Config) refresher() (accounts.TokenRefresher, error) {
	if len(c.OAuth) == 0 {
		return c.TokenRefresher, nil
	}
	return oauth.New(c.OAuth)
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
	def(&c.StaleIfError, c.MaxStaleness)
	def(&c.RequestIDWindow, usage.DefaultRequestIDWindow)
	if c.KeyPrefix == "" {
		c.KeyPrefix = DefaultKeyPrefix
	}
	if c.PrimaryRedisURL == "" {
		c.PrimaryRedisURL = c.RedisURL
	}
	if c.LegacyZoneOffset == nil {
		c.LegacyZoneOffset = new(strategy.DefaultZoneOffset)
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
