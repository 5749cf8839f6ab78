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
