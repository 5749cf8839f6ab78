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
var RedisLimits = map[DataType][]Limit{APIKey: keyLimits, Session: sessionLimits}

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
