package strategy

// Limit is one way in which a data type is less, or otherwise, where its primary is
// Redis. Each is tested by its name.
type Limit struct {
	// Name is a word or two, unique in the data type.
	Name string
	// Text says what happens.
	Text string
}

// RedisLimits are the limits of a Redis primary, which speaks the legacy service's
// layout, by data type.
var RedisLimits = map[DataType][]Limit{APIKey: keyLimits, Account: accountLimits, Usage: usageLimits, Session: sessionLimits}

var keyLimits = []Limit{
	{"transactions", "methods inside a transaction are DB_INVALID_QUERY, and so is a batch of api_keys"},
	{"cache", "validation is a round trip to Redis each time; while Redis is down it is DB_CONNECTION_FAILED"},
	{"times", "times are whole milliseconds, but for createdAt"},
	{"life", "a key that is neither written nor used for 365 days is gone, as the service has it"},
	{"deletion", "a deleted key's hash can be taken again, its id cannot"},
	{"lists", "a list looks at all keys, at most 200,000 (else LIMIT_EXCEEDED), and is of no single moment; names are in the order of their bytes"},
	{"ids", "a key whose id is no UUID in lower case is not seen"},
	{"old forms", "a text that has not the service's form counts as its default, and permissions that cannot be read grant nothing; it stays as it is until its field is updated"},
}

var sessionLimits = []Limit{
	{"transactions", "methods inside a transaction are DB_INVALID_QUERY, and so is a batch of sessions"},
	{"cache", "validation is a round trip to Redis each time; while Redis is down it is DB_CONNECTION_FAILED"},
	{"own keys", "sessions are in keys of relaystore's own; the service's sessions stay as they are and open nothing here"},
	{"the ended", "a session that ended 30 days ago may go without a clean-up"},
}

var accountLimits = []Limit{
	{"transactions", "methods inside a transaction are DB_INVALID_QUERY"},
	{"cipher", "secrets are closed with the service's cipher under RELAYSTORE_LEGACY_ENCRYPTION_KEY, which has no MAC and no key ids: " +
		"without it, accounts that have secrets are DB_INVALID_QUERY naming it, and a reseal always is; the keyset is not used"},
	{"proxies", "a proxy's password lies open, as the service has it"},
	{"times", "times are whole milliseconds, but for createdAt"},
	{"scopes", "a scope with white space in it is DB_INVALID_QUERY"},
	{"words", "a detail whose text is undefined, null, NaN or [object Object] is DB_INVALID_QUERY; an empty supportedModels is none"},
	{"deletion", "a deleted account is gone: its name is in no report, and its id can be taken again"},
	{"lists", "a list is read account by account: one that is changed meanwhile may be seen before or after; the first list after an hour " +
		"without any account of its platform looks at the names of all keys"},
	{"service states", "a status of the service's that is no word of ours is error, or rate_limited for quota_exceeded; a limit whose " +
		"end it has not written ends as it reckons, rateLimitDuration minutes after it began"},
	{"bedrock states", "the service has no status of Bedrock accounts: it does not see error and errorMessage, but inactive and the pause of a limit"},
	{"refreshes", "one process refreshes an account, beside the service's own lock, as far as Redis keeps what it has acknowledged"},
}
