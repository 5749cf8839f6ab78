package result_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

var sqlStates = map[string]result.Code{
	"08000": result.ConnectionFailed, "08006": result.ConnectionFailed, "08P01": result.ConnectionFailed,
	"0A000": result.Internal,
	"22000": result.InvalidQuery, "22001": result.InvalidQuery, "22003": result.InvalidQuery, "22P02": result.InvalidQuery,
	"23000": result.ConstraintViolation, "23502": result.ConstraintViolation, "23503": result.ConstraintViolation,
	"23514": result.ConstraintViolation, "23P01": result.ConstraintViolation,
	"23505": result.DuplicateKey,
	"25001": result.TransactionClosed, "25P01": result.TransactionClosed, "25P02": result.TransactionClosed,
	"25P03": result.TransactionClosed, "25P04": result.TransactionClosed,
	"RS001": result.ReadOnly, "25006": result.ReadOnly, "25000": result.Internal,
	"28000": result.ConnectionFailed, "28P01": result.ConnectionFailed,
	"3D000": result.ConnectionFailed, "3F000": result.Internal,
	"40001": result.TransactionConflict, "40P01": result.TransactionConflict,
	"40002": result.ConstraintViolation, "40003": result.ConnectionFailed, "40000": result.Internal,
	"42601": result.Internal, "42501": result.Internal, "42P01": result.Internal, "42P05": result.Internal,
	"53300": result.PoolExhausted, "53100": result.Internal, "53200": result.Internal,
	"54000": result.InvalidQuery, "54001": result.InvalidQuery, "54023": result.InvalidQuery,
	"55P03": result.QueryTimeout, "55006": result.Internal,
	"57014": result.QueryTimeout, "57P01": result.ConnectionFailed, "57P02": result.ConnectionFailed,
	"57P03": result.ConnectionFailed, "57P05": result.ConnectionFailed, "57P04": result.Internal,
	"58030": result.Internal, "P0001": result.Internal, "XX000": result.Internal, "XX001": result.Internal,
	"": result.Internal, "0": result.Internal, "080000": result.Internal,
}

func TestSQLStates(t *testing.T) {
	t.Parallel()
	for state, want := range sqlStates {
		pg := &pgconn.PgError{Code: state, Message: "secret text", Detail: "secret detail", ConstraintName: "some_constraint"}
		for _, err := range []error{pg, fmt.Errorf("outer: %w", pg), errors.Join(errors.New("other"), pg)} {
			e := result.From(err)
			require.Equal(t, want, e.Code, state)
			require.Equal(t, "some_constraint", e.Constraint)
			require.ErrorIs(t, e, want)
			require.NotContains(t, e.Error(), "secret")
			if want == result.Internal {
				require.Contains(t, e.Message, "SQLSTATE "+state)
			}
		}
	}
}

func TestSQLStatesAreAllTested(t *testing.T) {
	t.Parallel()
	tested := slices.Collect(maps.Keys(sqlStates))
	for state := range result.SQLStates {
		require.True(t, slices.ContainsFunc(tested, func(s string) bool {
			return s == state || len(state) == 2 && len(s) == 5 && s[:2] == state && result.SQLStates[s] == ""
		}), state)
	}
}

func TestCancelledStatementIsTheCallers(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]result.Code{
		"57014": result.Cancelled, "55P03": result.Cancelled, "23505": result.DuplicateKey, "57P01": result.ConnectionFailed,
	} {
		e := result.From(fmt.Errorf("%w: %w", context.Canceled, &pgconn.PgError{Code: state}))
		require.Equal(t, want, e.Code, state)
		require.ErrorIs(t, e, context.Canceled)
	}
}

// timeout is a socket's deadline.
var timeout = &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}

func TestFrom(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want result.Code
	}{
		{context.Canceled, result.Cancelled},
		{context.DeadlineExceeded, result.QueryTimeout},
		{fmt.Errorf("a: %w", fmt.Errorf("b: %w", context.Canceled)), result.Cancelled},
		{errors.Join(io.EOF, context.Canceled), result.Cancelled},
		{errors.Join(io.EOF, context.DeadlineExceeded), result.QueryTimeout},
		{fmt.Errorf("%w: %w", rueidis.ErrClosing, context.Canceled), result.Cancelled},
		{context.Cause(cancelled(errors.New("why"))), result.Internal},
		{timeout, result.QueryTimeout},

		{pgx.ErrNoRows, result.RecordNotFound},
		{fmt.Errorf("scan: %w", pgx.ErrNoRows), result.RecordNotFound},
		{pgx.ErrTxClosed, result.TransactionClosed},
		{pgx.ErrTxCommitRollback, result.TransactionClosed},
		{pgx.ErrTooManyRows, result.Internal},

		{io.EOF, result.ConnectionFailed},
		{io.ErrUnexpectedEOF, result.ConnectionFailed},
		{io.ErrClosedPipe, result.ConnectionFailed},
		{net.ErrClosed, result.ConnectionFailed},
		{puddle.ErrClosedPool, result.ConnectionFailed},
		{syscall.ECONNRESET, result.ConnectionFailed},
		{syscall.ECONNREFUSED, result.ConnectionFailed},
		{syscall.EPIPE, result.ConnectionFailed},
		{&net.OpError{Op: "write", Net: "unix", Err: os.NewSyscallError("write", syscall.EPIPE)}, result.ConnectionFailed},
		{&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}, result.ConnectionFailed},
		{&net.DNSError{Err: "no such host", Name: "secret"}, result.ConnectionFailed},

		{rueidis.Nil, result.CacheMiss},
		{fmt.Errorf("get: %w", rueidis.Nil), result.CacheMiss},
		{rueidis.ErrClosing, result.CacheError},
		{rueidis.ErrNoSlot, result.CacheError},
		{rueidis.ErrNoAddr, result.CacheError},
		{rueidis.ErrDoCacheAborted, result.CacheError},

		{errors.New("anything"), result.Internal},
		{fmt.Errorf("anything: %w", os.ErrNotExist), result.Internal},
	} {
		for _, err := range []error{test.err, fmt.Errorf("outer: %w", test.err), errors.Join(errors.New("other"), test.err)} {
			require.Equal(t, test.want, result.From(err).Code, "%v", err)
		}
	}
}

func cancelled(cause error) context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	return ctx
}

func TestFromPassesOwnErrorsThrough(t *testing.T) {
	t.Parallel()
	require.Nil(t, result.From(nil))
	own := result.Invalid("name", "too %s", "long").With("index", 3)
	for _, err := range []error{own, fmt.Errorf("outer: %w", own), errors.Join(io.EOF, own)} {
		require.Same(t, own, result.From(err))
	}
	for _, err := range []error{result.LimitExceeded, fmt.Errorf("outer: %w", result.LimitExceeded)} {
		e := result.From(err)
		require.Equal(t, result.LimitExceeded, e.Code)
		require.NotEmpty(t, e.Message)
	}
	e := result.From(fmt.Errorf("%w: %w", result.ConnectionTimeout, context.DeadlineExceeded))
	require.Equal(t, result.ConnectionTimeout, e.Code)
	require.ErrorIs(t, e, context.DeadlineExceeded)
	require.NotErrorIs(t, e, context.Canceled)
}
