package repo

import (
	"errors"
	"os"
	"strconv"
	"time"

	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/repo/accounts/oauth"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// ConfigFromEnv reads DATABASE_URL, REDIS_URL and RELAYSTORE_* as each field of
// Config names it. Durations are written as Go does (5s, 840h), switches as true
// or false. Every variable that cannot be read is named in the error.
func ConfigFromEnv() (Config, error) {
	var errs []error
	duration := func(name string) (d time.Duration) {
		return parsed(name, &errs, "a duration such as 5s", time.ParseDuration)
	}
	c := Config{
		DatabaseURL:         os.Getenv("DATABASE_URL"),
		DirectURL:           os.Getenv("RELAYSTORE_DIRECT_URL"),
		RedisURL:            os.Getenv("REDIS_URL"),
		PrimaryRedisURL:     os.Getenv("RELAYSTORE_PRIMARY_REDIS_URL"),
		KeyPrefix:           os.Getenv("RELAYSTORE_KEY_PREFIX"),
		MaxConns:            parsed("RELAYSTORE_MAX_CONNS", &errs, "a whole number", strconv.Atoi),
		MaxTransactions:     parsed("RELAYSTORE_MAX_TRANSACTIONS", &errs, "a whole number", strconv.Atoi),
		TxTimeout:           duration("RELAYSTORE_TX_TIMEOUT"),
		RequireRedis:        parsed("RELAYSTORE_REQUIRE_REDIS", &errs, "true or false", strconv.ParseBool),
		ConnectTimeout:      duration("RELAYSTORE_CONNECT_TIMEOUT"),
		OpTimeout:           duration("RELAYSTORE_OP_TIMEOUT"),
		MaxStaleness:        duration("RELAYSTORE_MAX_STALENESS"),
		StaleIfError:        duration("RELAYSTORE_STALE_IF_ERROR"),
		CachedKeys:          parsed("RELAYSTORE_CACHED_KEYS", &errs, "a whole number", strconv.Atoi),
		CachedSessions:      parsed("RELAYSTORE_CACHED_SESSIONS", &errs, "a whole number", strconv.Atoi),
		MaxSessionData:      parsed("RELAYSTORE_MAX_SESSION_DATA", &errs, "a whole number of bytes", strconv.Atoi),
		ConsistencyChecks:   parsed("RELAYSTORE_CONSISTENCY_CHECKS", &errs, "a number", number),
		RequestIDWindow:     duration("RELAYSTORE_REQUEST_ID_WINDOW"),
		UsageWrites:         os.Getenv("RELAYSTORE_USAGE_WRITES"),
		JournalReplicas:     parsed("RELAYSTORE_JOURNAL_REPLICAS", &errs, "a whole number", strconv.Atoi),
		JournalLimit:        parsed("RELAYSTORE_JOURNAL_LIMIT", &errs, "a whole number", strconv.Atoi),
		LegacyEncryptionKey: os.Getenv("RELAYSTORE_LEGACY_ENCRYPTION_KEY"),
		LegacyZoneOffset:    parsed("RELAYSTORE_LEGACY_TZ_OFFSET", &errs, "a whole number of hours", wholeNumber),
		APIKeyPrefix:        os.Getenv("RELAYSTORE_API_KEY_PREFIX"),
		Keyset:              parsed("RELAYSTORE_KEYSET", &errs, "a keyset of AEAD keys in Tink's JSON", keysetText),
		KeysetFile:          os.Getenv("RELAYSTORE_KEYSET_FILE"),
		RefreshAhead:        duration("RELAYSTORE_REFRESH_AHEAD"),
		SlowQuery:           duration("RELAYSTORE_SLOW_QUERY"),

		AlertSecret:          os.Getenv("RELAYSTORE_ALERT_SECRET"),
		AlertPrivateWebhooks: parsed("RELAYSTORE_ALERT_PRIVATE_WEBHOOKS", &errs, "true or false", strconv.ParseBool),
	}
	if text := os.Getenv("RELAYSTORE_OAUTH"); text != "" {
		var err error
		if c.OAuth, err = oauth.Parse(text); err != nil {
			errs = append(errs, result.Invalid("RELAYSTORE_OAUTH", "%s", err))
		}
	}
	return c, errors.Join(errs...)
}

func keysetText(text string) (*keyset.Handle, error) { return seal.Parse([]byte(text)) }

func wholeNumber(text string) (*int, error) {
	n, err := strconv.Atoi(text)
	return &n, err
}

func number(text string) (float64, error) { return strconv.ParseFloat(text, 64) }

// parsed reads a variable; an empty one is the zero value.
func parsed[T any](name string, errs *[]error, want string, parse func(string) (T, error)) T {
	text := os.Getenv(name)
	var v T
	if text == "" {
		return v
	}
	v, err := parse(text)
	if err != nil {
		*errs = append(*errs, result.Invalid(name, "must be %s", want))
	}
	return v
}
