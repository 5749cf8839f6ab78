package result

// Code says what kind of failure an [Error] is. It is an error itself, so that
// errors.Is(err, result.RecordNotFound) works.
type Code string

// The contract's codes.
const (
	// ConnectionFailed: the database cannot be reached, or the connection broke.
	ConnectionFailed Code = "DB_CONNECTION_FAILED"
	// ConnectionTimeout: connecting took too long.
	ConnectionTimeout Code = "DB_CONNECTION_TIMEOUT"
	// PoolExhausted: every connection was busy until the deadline.
	PoolExhausted Code = "DB_POOL_EXHAUSTED"
	// RecordNotFound: there is no such record, or it is deleted.
	RecordNotFound Code = "DB_RECORD_NOT_FOUND"
	// DuplicateKey: a record with this identity exists.
	DuplicateKey Code = "DB_DUPLICATE_KEY"
	// ConstraintViolation: the database's own rules refuse the record.
	ConstraintViolation Code = "DB_CONSTRAINT_VIOLATION"
	// InvalidQuery: the input is wrong; details.field names it, nothing was written.
	InvalidQuery Code = "DB_INVALID_QUERY"
	// QueryTimeout: the deadline passed while the database worked.
	QueryTimeout Code = "DB_QUERY_TIMEOUT"
	// CacheMiss: the cache alone was asked and does not hold the record.
	CacheMiss Code = "CACHE_MISS"
	// CacheError: Redis cannot be reached or refused a command.
	CacheError Code = "CACHE_ERROR"
)

// The codes that the contract does not have.
const (
	// TransactionConflict: serialization failure or deadlock; run it again.
	TransactionConflict Code = "DB_TRANSACTION_CONFLICT"
	// TransactionClosed: the transaction has ended or is not of this process.
	TransactionClosed Code = "DB_TRANSACTION_CLOSED"
	// Cancelled: the caller's context was cancelled.
	Cancelled Code = "DB_CANCELLED"
	// ReadOnly: a write in a read-only transaction or on a standby.
	ReadOnly Code = "DB_READ_ONLY"
	// UpstreamRefreshFailed: the provider did not give a new token.
	UpstreamRefreshFailed Code = "UPSTREAM_REFRESH_FAILED"
	// LimitExceeded: a limit of the key does not allow it.
	LimitExceeded Code = "LIMIT_EXCEEDED"
	// Internal: none of the others; a defect or a broken server.
	Internal Code = "DB_INTERNAL"
)

var messages = map[Code]string{
	ConnectionFailed:      "the database cannot be reached",
	ConnectionTimeout:     "connecting to the database took too long",
	PoolExhausted:         "no database connection came free in time",
	RecordNotFound:        "record not found",
	DuplicateKey:          "a record with this identity exists already",
	ConstraintViolation:   "the record breaks a rule of the database",
	InvalidQuery:          "invalid input",
	QueryTimeout:          "the database did not answer in time",
	CacheMiss:             "not in the cache",
	CacheError:            "the cache cannot be reached or refused the command",
	TransactionConflict:   "the transaction conflicted with another one",
	TransactionClosed:     "the transaction is closed",
	Cancelled:             "the caller cancelled the call",
	ReadOnly:              "the transaction or the server is read-only",
	UpstreamRefreshFailed: "the provider did not refresh the token",
	LimitExceeded:         "a limit is exceeded",
	Internal:              "internal error",
}

// Error gives the code itself, such as "DB_RECORD_NOT_FOUND".
func (c Code) Error() string { return string(c) }
