package repo

import (
	"cmp"
	"errors"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/repo/accounts/oauth"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Validate names every field that is wrong or contradicts another.
func (c Config) Validate() error {
	return errors.Join(c.checkDatabase(), c.checkRedis(), c.checkSecrets(), c.checkBounds(), c.checkTexts(), c.checkJournal())
}

// faults are what is wrong with a config.
type faults []error

// when notes a fault of a field, if there is one.
func (f *faults) when(wrong bool, field, format string, args ...any) {
	if wrong {
		*f = append(*f, result.Invalid(field, format, args...))
	}
}

// parses notes that a text, where it is given, is not what read takes.
func parses[T any](f *faults, field, text string, read func(string) (T, error)) {
	if text != "" {
		_, err := read(text)
		f.when(err != nil, field, "cannot be parsed")
	}
}

func (c Config) checkJournal() error {
	var f faults
	behind := c.UsageWrites == WriteBehind
	f.when(!behind && c.UsageWrites != "" && c.UsageWrites != WriteThrough, "RELAYSTORE_USAGE_WRITES", "must be %s or %s", WriteThrough, WriteBehind)
	f.when(behind && c.RedisURL == "", "RELAYSTORE_USAGE_WRITES", "%s needs REDIS_URL", WriteBehind)
	f.when(!behind && c.JournalReplicas != 0, "RELAYSTORE_JOURNAL_REPLICAS", "means nothing without %s", WriteBehind)
	f.when(!behind && c.JournalLimit != 0, "RELAYSTORE_JOURNAL_LIMIT", "means nothing without %s", WriteBehind)
	f.when(c.JournalReplicas < 0 || c.JournalReplicas > maxReplicas, "RELAYSTORE_JOURNAL_REPLICAS", "must lie between 0 and %d", maxReplicas)
	f.when(c.JournalLimit != 0 && (c.JournalLimit < minJournal || c.JournalLimit > maxJournal), "RELAYSTORE_JOURNAL_LIMIT",
		"must lie between %d and %d", minJournal, maxJournal)
	return errors.Join(f...)
}

func (c Config) checkDatabase() error {
	var f faults
	f.when(c.DatabaseURL == "" && c.Pool == nil, "DATABASE_URL", "required")
	if c.Pool != nil {
		f.when(c.DatabaseURL != "", "DATABASE_URL", "contradicts Pool: give one of them")
		f.when(c.MaxConns != 0, "RELAYSTORE_MAX_CONNS", "contradicts Pool, which has its own bound")
		f.when(c.ConnectTimeout != 0, "RELAYSTORE_CONNECT_TIMEOUT", "contradicts Pool, which has its own")
		f.when(c.Tracer != nil, "DATABASE_URL", "required by Tracer: a Pool has its own")
		f.when(c.SlowQuery != 0, "RELAYSTORE_SLOW_QUERY", "contradicts Pool, whose Meter has its own")
	}
	parses(&f, "DATABASE_URL", c.DatabaseURL, pgxpool.ParseConfig)
	parses(&f, "RELAYSTORE_DIRECT_URL", c.DirectURL, pgxpool.ParseConfig)
	return errors.Join(f...)
}

func (c Config) checkRedis() error {
	var f faults
	if c.RedisURL == "" {
		f.when(c.RequireRedis, "RELAYSTORE_REQUIRE_REDIS", "contradicts an empty REDIS_URL")
		f.when(c.RedisOption != nil, "REDIS_URL", "required by RedisOption")
		f.when(c.MaxStaleness != 0, "RELAYSTORE_MAX_STALENESS", "means nothing without REDIS_URL")
		f.when(c.StaleIfError != 0, "RELAYSTORE_STALE_IF_ERROR", "means nothing without REDIS_URL")
		f.when(c.CachedKeys != 0, "RELAYSTORE_CACHED_KEYS", "means nothing without REDIS_URL")
		f.when(c.CachedSessions != 0, "RELAYSTORE_CACHED_SESSIONS", "means nothing without REDIS_URL")
	}
	f.when(c.StaleIfError != 0 && c.StaleIfError < cmp.Or(c.MaxStaleness, DefaultMaxStaleness), "RELAYSTORE_STALE_IF_ERROR", "contradicts a longer RELAYSTORE_MAX_STALENESS")
	if hours := c.LegacyZoneOffset; hours != nil {
		f.when(*hours < -12 || *hours > 14, "RELAYSTORE_LEGACY_TZ_OFFSET", "must lie between -12 and 14")
	}
	parses(&f, "REDIS_URL", c.RedisURL, rueidis.ParseURL)
	parses(&f, "RELAYSTORE_PRIMARY_REDIS_URL", c.PrimaryRedisURL, rueidis.ParseURL)
	return errors.Join(f...)
}

func (c Config) checkSecrets() error {
	var f faults
	f.when(c.Keyset != nil && c.KeysetFile != "", "RELAYSTORE_KEYSET", "contradicts RELAYSTORE_KEYSET_FILE: give one of them")
	f.when(len(c.OAuth) > 0 && c.TokenRefresher != nil, "RELAYSTORE_OAUTH", "contradicts TokenRefresher: give one of them")
	f.when(c.RefreshAhead != 0 && len(c.OAuth) == 0 && c.TokenRefresher == nil, "RELAYSTORE_REFRESH_AHEAD", "means nothing without RELAYSTORE_OAUTH")
	if _, err := oauth.New(c.OAuth); err != nil && len(c.OAuth) > 0 {
		f.when(true, "RELAYSTORE_OAUTH", "%s", result.From(err).Message)
	}
	if _, err := c.alertSecret(); err != nil {
		f.when(true, "RELAYSTORE_ALERT_SECRET", "%s", result.From(err).Message)
	}
	f.when(c.AlertPrivateWebhooks && c.AlertSecret == "", "RELAYSTORE_ALERT_PRIVATE_WEBHOOKS", "means nothing without RELAYSTORE_ALERT_SECRET")
	if c.Keyset != nil {
		_, err := seal.New(c.Keyset)
		f.when(err != nil, "RELAYSTORE_KEYSET", "%s", seal.ErrKeyset)
	}
	return errors.Join(f...)
}

func (c Config) checkBounds() error {
	var f faults
	if n := c.MaxTransactions; n != 0 {
		f.when(n < 0 || n >= c.conns(), "RELAYSTORE_MAX_TRANSACTIONS", "must lie between 1 and one less than the %d connections", c.conns())
	}
	rate := c.ConsistencyChecks
	f.when(!(rate <= 0 || rate >= minChecks && rate <= maxChecks), // NaN as well
		"RELAYSTORE_CONSISTENCY_CHECKS", "must lie between %g and %d, or be negative", minChecks, maxChecks)
	for _, n := range []struct {
		name             string
		value, low, high int
	}{
		{"RELAYSTORE_MAX_CONNS", c.MaxConns, 1, maxConnsLimit},
		{"RELAYSTORE_CACHED_KEYS", c.CachedKeys, 1, maxCachedKeys},
		{"RELAYSTORE_CACHED_SESSIONS", c.CachedSessions, 1, maxCachedKeys},
		{"RELAYSTORE_MAX_SESSION_DATA", c.MaxSessionData, minSessionData, maxSessionData},
	} {
		f.when(n.value != 0 && (n.value < n.low || n.value > n.high), n.name, "must lie between %d and %d", n.low, n.high)
	}
	for _, d := range []struct {
		name             string
		value, low, high time.Duration
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
		f.when(d.value != 0 && (d.value < d.low || d.value > d.high), d.name, "must lie between %s and %s", d.low, d.high)
	}
	return errors.Join(f...)
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
