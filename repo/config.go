package repo

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
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

// sealer gives what seals secrets; nil without a keyset.
func (c Config) sealer() (*seal.Sealer, error) {
	h := c.Keyset
	if c.KeysetFile != "" {
		var err error
		h, err = seal.ReadFile(c.KeysetFile)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, result.Invalid("RELAYSTORE_KEYSET_FILE", "there is no such file; relaystore keyset create makes it")
		case err != nil:
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

// Format prints "[redacted]" for every verb: it holds a secret.
func (Config) Format(s fmt.State, verb rune) { result.Hidden{}.Format(s, verb) }

// LogValue logs "[redacted]".
func (Config) LogValue() slog.Value { return result.Hidden{}.LogValue() }

// MarshalJSON gives "[redacted]".
func (Config) MarshalJSON() ([]byte, error) { return result.Hidden{}.MarshalJSON() }
