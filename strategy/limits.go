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
var RedisLimits = map[DataType][]Limit{Account: accountLimits}

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
