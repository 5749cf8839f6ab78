package strategy_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

func always(error) bool { return true }

// calls counts how often a policy calls something that always fails.
func calls(t *testing.T, p strategy.RetryPolicy, failure error, again func(error) bool) int {
	t.Helper()
	n := 0
	err := p.Do(t.Context(), func() error { n++; return failure }, again)
	require.Equal(t, failure, err)
	return n
}

func TestDefaultRetryIsTheContracts(t *testing.T) {
	t.Parallel()
	require.Equal(t, strategy.RetryPolicy{MaxRetries: 3, BaseDelay: time.Second, MaxDelay: 10 * time.Second}, strategy.DefaultRetry)
}

func TestRetriedCodes(t *testing.T) {
	t.Parallel()
	retried := map[result.Code]bool{
		result.ConnectionTimeout: true, result.PoolExhausted: true, result.QueryTimeout: true, result.ConnectionFailed: true,
	}
	for _, code := range []result.Code{
		result.ConnectionFailed, result.ConnectionTimeout, result.PoolExhausted, result.RecordNotFound, result.DuplicateKey,
		result.ConstraintViolation, result.InvalidQuery, result.QueryTimeout, result.CacheMiss, result.CacheError,
		result.TransactionConflict, result.TransactionClosed, result.Cancelled, result.ReadOnly, result.UpstreamRefreshFailed,
		result.LimitExceeded, result.Internal,
	} {
		want := 1
		if retried[code] {
			want = 4
		}
		for _, failure := range []error{code, fmt.Errorf("outer: %w", code), result.New(code, "x")} {
			require.Equal(t, want, calls(t, strategy.RetryPolicy{MaxRetries: 3}, failure, always), code)
		}
	}
	for failure, want := range map[error]int{
		&pgconn.PgError{Code: "57P01"}: 4, &pgconn.PgError{Code: "53300"}: 4, &pgconn.PgError{Code: "23505"}: 1,
		pgx.ErrNoRows: 1, context.Canceled: 1, errors.New("other"): 1,
	} {
		require.Equal(t, want, calls(t, strategy.RetryPolicy{MaxRetries: 3}, failure, always), "%v", failure)
	}
}

func TestRetryCounts(t *testing.T) {
	t.Parallel()
	require.Equal(t, 1, calls(t, strategy.RetryPolicy{}, result.QueryTimeout, always))
	require.Equal(t, 8, calls(t, strategy.RetryPolicy{MaxRetries: 7}, result.QueryTimeout, always))
	asked := 0
	twice := func(error) bool { asked++; return asked <= 2 }
	require.Equal(t, 3, calls(t, strategy.RetryPolicy{MaxRetries: 7}, result.QueryTimeout, twice))
	n := 0
	err := strategy.RetryPolicy{MaxRetries: 7}.Do(t.Context(), func() error {
		if n++; n < 3 {
			return result.ConnectionFailed
		}
		return nil
	}, always)
	require.NoError(t, err)
	require.Equal(t, 3, n)
}

// pauses gives the delays before the retries of one call, on a clock of its own.
func pauses(t *testing.T, ctx context.Context, p strategy.RetryPolicy) []time.Duration { //nolint:revive // t first
	t.Helper()
	var at []time.Duration
	start := time.Now()
	_ = p.Do(ctx, func() error { at = append(at, time.Since(start)); return result.QueryTimeout }, always)
	for i := len(at) - 1; i > 0; i-- {
		at[i] -= at[i-1]
	}
	return at[1:]
}

func TestDelaysAreFullJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := strategy.RetryPolicy{MaxRetries: 6, BaseDelay: 100 * time.Millisecond, MaxDelay: time.Second}
		bounds := []time.Duration{100, 200, 400, 800, 1000, 1000} // ms
		low, high := make([]int, len(bounds)), make([]int, len(bounds))
		for range 200 {
			for i, d := range pauses(t, t.Context(), p) {
				bound := bounds[i] * time.Millisecond
				require.LessOrEqual(t, d, bound)
				if d < bound/4 {
					low[i]++
				}
				if d > bound*3/4 {
					high[i]++
				}
			}
		}
		for i := range bounds { // 50 expected; 10 is 6 deviations away
			require.Greater(t, low[i], 10, i)
			require.Greater(t, high[i], 10, i)
		}
	})
}

func TestDelaysKeepTheirBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, p := range []strategy.RetryPolicy{
			{MaxRetries: 20},
			{MaxRetries: 20, BaseDelay: time.Hour},
			{MaxRetries: 20, MaxDelay: time.Hour},
			{MaxRetries: 20, BaseDelay: time.Hour, MaxDelay: time.Second},
			{MaxRetries: 80, BaseDelay: time.Nanosecond, MaxDelay: time.Second},
		} {
			for _, d := range pauses(t, t.Context(), p) {
				require.LessOrEqual(t, d, p.MaxDelay, "%+v", p)
			}
		}
	})
}

func TestDeadlineStopsRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := strategy.RetryPolicy{MaxRetries: 1_000_000, BaseDelay: time.Second, MaxDelay: time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NotEmpty(t, pauses(t, ctx, p))
		require.NoError(t, ctx.Err(), "a delay that the deadline would cut is not begun")
	})
}

func TestCancellingStopsRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := strategy.RetryPolicy{MaxRetries: 3, BaseDelay: 1000 * time.Hour, MaxDelay: 1000 * time.Hour}
		done := make(chan error)
		go func() { done <- p.Do(ctx, func() error { return result.QueryTimeout }, always) }()
		synctest.Wait() // it is waiting now
		cancel()
		require.ErrorIs(t, <-done, result.QueryTimeout)
	})
}
