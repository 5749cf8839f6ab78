package result_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

type thing struct {
	ID string `json:"id"`
}

func TestEnvelopes(t *testing.T) {
	t.Parallel()
	failed := errors.New("secret")
	for _, test := range []struct {
		envelope any
		want     string
	}{
		{result.OK(thing{"a"}), `{"success":true,"data":{"id":"a"}}`},
		{result.Of(thing{"a"}, nil), `{"success":true,"data":{"id":"a"}}`},
		{result.OK([]thing{}), `{"success":true,"data":[]}`},
		{result.Result[*thing]{}, `{"success":true,"data":null}`},
		{result.Of(thing{"a"}, result.RecordNotFound), `{"success":false,"error":"record not found","code":"DB_RECORD_NOT_FOUND"}`},
		{result.Fail[thing](failed), `{"success":false,"error":"internal error","code":"DB_INTERNAL"}`},
		{result.Fail[thing](result.Invalid("name", "too long")),
			`{"success":false,"error":"name: too long","code":"DB_INVALID_QUERY","details":{"field":"name"}}`},
		{result.Status{}, `{"success":true}`},
		{result.Status{Duplicate: true}, `{"success":true}`},
		{result.StatusOf(nil), `{"success":true}`},
		{result.StatusOf(context.Canceled), `{"success":false,"error":"the caller cancelled the call","code":"DB_CANCELLED"}`},
		{result.StatusOf(result.New(result.Internal, "x").With("outcomeUnknown", true).With("line", 3)),
			`{"success":false,"error":"x","code":"DB_INTERNAL","details":{"line":3,"outcomeUnknown":true}}`},
		{result.New(result.ReadOnly, "x"), `{"name":"DatabaseError","message":"x","code":"DB_READ_ONLY","details":{}}`},
		{result.Invalid("a", "b"), `{"name":"DatabaseError","message":"a: b","code":"DB_INVALID_QUERY","details":{"field":"a"}}`},
	} {
		out, err := json.Marshal(test.envelope)
		require.NoError(t, err)
		require.Equal(t, test.want, string(out))
	}
}

func TestEnvelopesInGo(t *testing.T) {
	t.Parallel()
	v, err := result.OK(7).Get()
	require.NoError(t, err)
	require.Equal(t, 7, v)
	require.NoError(t, result.OK(7).Err())

	v, err = result.Of(7, fmt.Errorf("outer: %w", result.DuplicateKey)).Get()
	require.ErrorIs(t, err, result.DuplicateKey)
	require.Zero(t, v)
	require.NoError(t, result.Status{}.Err())
	var own *result.Error
	require.ErrorAs(t, result.StatusOf(context.DeadlineExceeded).Err(), &own)
	require.Equal(t, result.QueryTimeout, own.Code)
}

func TestErrorsIs(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("outer: %w", result.From(context.Canceled))
	require.ErrorIs(t, err, result.Cancelled)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, result.QueryTimeout)
	require.NotErrorIs(t, result.From(errors.New("x")), context.Canceled)
	require.Equal(t, "DB_CANCELLED: the caller cancelled the call", result.From(context.Canceled).Error())
	require.Equal(t, "DB_DUPLICATE_KEY", result.DuplicateKey.Error())
}

func TestWithCopies(t *testing.T) {
	t.Parallel()
	e := result.Invalid("name", "x")
	f := e.With("field", "other").With("line", 1)
	require.Equal(t, "name", e.Field())
	require.Equal(t, "other", f.Field())
	require.Len(t, e.Details, 1)
	require.Empty(t, result.New(result.Internal, "x").Field())
	cancelled := result.From(context.Canceled).With("outcomeUnknown", true)
	require.ErrorIs(t, cancelled, context.Canceled)
}

// Every code has a message of its own.
func TestMessages(t *testing.T) {
	t.Parallel()
	seen := make(map[string]result.Code)
	for _, code := range []result.Code{
		result.ConnectionFailed, result.ConnectionTimeout, result.PoolExhausted, result.RecordNotFound, result.DuplicateKey,
		result.ConstraintViolation, result.InvalidQuery, result.QueryTimeout, result.CacheMiss, result.CacheError,
		result.TransactionConflict, result.TransactionClosed, result.Cancelled, result.ReadOnly, result.UpstreamRefreshFailed,
		result.LimitExceeded, result.Internal,
	} {
		message := result.From(code).Message
		require.NotEmpty(t, message, code)
		require.Empty(t, seen[message], code)
		seen[message] = code
	}
}

// shy hides what it holds.
type shy struct{ secret string }

func (shy) Format(s fmt.State, _ rune) { _, _ = fmt.Fprint(s, "hidden") }

func (shy) LogValue() slog.Value { return slog.StringValue("hidden") }

// A Result prints and logs as its data would: what hides there, hides here.
func TestResultsPrintAsTheirData(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	ok, failed := result.OK(shy{"s3cret"}), result.Fail[shy](result.RecordNotFound)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		require.Equal(t, "hidden", fmt.Sprintf(verb, ok))
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "ok", ok, "failed", failed)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "ok", ok, "failed", failed)
	require.Equal(t, 2, strings.Count(out.String(), "hidden"))
	require.Equal(t, 2, strings.Count(out.String(), "DB_RECORD_NOT_FOUND"))
	require.NotContains(t, out.String(), "s3cret")
	require.Equal(t, "{a}", fmt.Sprintf("%v", result.OK(thing{"a"})))
	require.Equal(t, "DB_RECORD_NOT_FOUND: record not found", fmt.Sprint(failed))
}
