package result

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
	"github.com/redis/rueidis"
)

var contextErrors = []error{context.Canceled, context.DeadlineExceeded}

// sqlStates maps a SQLSTATE, or where that is not listed its class (the first
// two characters), to a code. Source: PostgreSQL's manual, appendix A.
var sqlStates = map[string]Code{
	"08":    ConnectionFailed,
	"0A":    Internal,
	"22":    InvalidQuery,
	"23":    ConstraintViolation,
	"23505": DuplicateKey,
	"25001": TransactionClosed,
	"25006": ReadOnly,
	"25P01": TransactionClosed,
	"25P02": TransactionClosed,
	"25P03": TransactionClosed, // idle in transaction too long: the server ended it
	"25P04": TransactionClosed, // transaction_timeout
	"28":    ConnectionFailed,
	"3D000": ConnectionFailed,
	"40001": TransactionConflict,
	"40002": ConstraintViolation,
	"40003": ConnectionFailed,
	"40P01": TransactionConflict,
	"42":    Internal, // the library's own SQL or rights are wrong, never the caller's input
	"53300": PoolExhausted,
	"54":    InvalidQuery, // the input is too large or too deep
	"55P03": QueryTimeout, // lock_timeout
	"57014": QueryTimeout, // statement_timeout; a cancelled context is told apart below
	"57P01": ConnectionFailed,
	"57P02": ConnectionFailed,
	"57P03": ConnectionFailed,
	"57P05": ConnectionFailed,
	"RS001": ReadOnly, // storage_fence: the data type's primary has moved, or is being moved
}

// From is the one funnel from errors of pgx, rueidis and context to an [*Error].
// nil gives nil, an *Error (also a wrapped one) is passed through. What nothing
// matches is Internal, with the SQLSTATE in its message where there is one.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if own, ok := err.(*Error); ok { //nolint:errorlint // the hot path's short cut
		return own
	}
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	var code Code
	if errors.As(err, &code) {
		return of(code, err)
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return fromSQLState(pg, err)
	}
	if errors.Is(err, puddle.ErrClosedPool) {
		return New(ConnectionFailed, "the client is closed")
	}
	return of(fromType(err), err).because(err)
}

// refusals are why a server lets nobody in, by PostgreSQL's states and Redis' words.
var refusals = map[string]string{
	"28000": "it refused the login",
	"28P01": "it refused the login",
	"3D000": "it has no database of that name",

	"WRONGPASS": "it refused the login",
	"NOAUTH":    "it refused the login",
	"NOPERM":    "it refused the login",
}

// because says why a connection failed.
func (e *Error) because(err error) *Error {
	if e.Code != ConnectionFailed {
		return e
	}
	if why := Why(err); why != "" {
		e.Message += ": " + why
	}
	return e
}

// Why says why a connection to a server failed, in words of its own: the cause's hold the
// URL. It is empty for what users can do nothing about.
func Why(err error) string {
	var pg *pgconn.PgError
	var unknown *net.DNSError
	redis, answered := rueidis.IsRedisErr(err)
	switch {
	case errors.As(err, &pg):
		return refusals[pg.Code]
	case answered:
		word, _, _ := strings.Cut(redis.Error(), " ")
		return refusals[word]
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at its port"
	case errors.As(err, &unknown):
		return "its host's name is not known"
	}
	return ""
}

func fromSQLState(pg *pgconn.PgError, err error) *Error {
	code, known := sqlStates[pg.Code]
	if !known && len(pg.Code) == 5 {
		code, known = sqlStates[pg.Code[:2]]
	}
	if !known {
		code = Internal
	}
	if code == QueryTimeout && errors.Is(err, context.Canceled) {
		code = Cancelled
	}
	e := of(code, err)
	e.Constraint = pg.ConstraintName
	if code == Internal {
		e.Message += " (SQLSTATE " + pg.Code + ")"
	}
	return e.because(err)
}

// fromType handles what has no SQLSTATE. A cancelled caller comes first: it
// shows as a broken connection, too.
func fromType(err error) Code {
	var connect *pgconn.ConnectError
	var redis *rueidis.RedisError
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax), errors.As(err, &kind):
		return InvalidQuery
	case errors.Is(err, pgx.ErrNoRows):
		return RecordNotFound
	case errors.Is(err, pgx.ErrTxClosed), errors.Is(err, pgx.ErrTxCommitRollback):
		return TransactionClosed
	case errors.Is(err, context.Canceled):
		return Cancelled
	case errors.Is(err, rueidis.Nil):
		return CacheMiss
	case errors.As(err, &redis), anyOf(err, redisErrors):
		return CacheError
	case errors.As(err, &connect) && timedOut(err):
		return ConnectionTimeout
	case errors.As(err, &connect):
		return ConnectionFailed
	case timedOut(err):
		return QueryTimeout
	case anyOf(err, brokenPipes):
		return ConnectionFailed
	}
	var netErr net.Error
	if errors.As(err, &netErr) || pgconn.SafeToRetry(err) {
		return ConnectionFailed
	}
	return Internal
}

var redisErrors = []error{
	rueidis.ErrClosing, rueidis.ErrNoSlot, rueidis.ErrRESP2PubSubMixed, rueidis.ErrDoCacheAborted,
	rueidis.ErrNoAddr, rueidis.ErrNoCache, rueidis.ErrReplicaOnlyNotSupported,
}

var brokenPipes = []error{
	io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed,
	syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE,
}

func anyOf(err error, targets []error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}

// timedOut holds for a passed deadline: of the context, or of a socket.
func timedOut(err error) bool {
	var netErr net.Error
	return errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &netErr) && netErr.Timeout())
}
