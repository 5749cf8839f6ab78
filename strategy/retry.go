package strategy

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/puddle/v2"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// RetryPolicy is the contract's retryConfig: exponential backoff with full
// jitter, so the n-th delay is drawn from 0 to BaseDelay·2ⁿ, at most MaxDelay.
type RetryPolicy struct {
	// MaxRetries is how often a failed call is made again; 0 means never.
	MaxRetries int
	// BaseDelay and MaxDelay bound the delays; 0 means no delay.
	BaseDelay, MaxDelay time.Duration
}

// DefaultRetry is the contract's retryConfig: 3 retries, 1 s, 10 s.
var DefaultRetry = RetryPolicy{MaxRetries: 3, BaseDelay: time.Second, MaxDelay: 10 * time.Second}

// retryable lists the contract's retryableErrors, and the broken connection: a
// server that restarted is asked once more on a new one.
var retryable = map[result.Code]bool{
	result.ConnectionTimeout: true,
	result.PoolExhausted:     true,
	result.QueryTimeout:      true,
	result.ConnectionFailed:  true,
}

// Do calls f until it succeeds, fails for good, or the retries or ctx run out,
// and gives f's last error. again decides about a failure that is retryable by
// its code: a write whose outcome is unknown must not be repeated blindly. A
// delay that ctx's deadline would cut is not begun.
func (p RetryPolicy) Do(ctx context.Context, f func() error, again func(error) bool) error {
	delays := p.delays()
	for attempt := 0; ; attempt++ {
		err := f()
		if err == nil || attempt >= p.MaxRetries || !retryable[result.From(err).Code] || errors.Is(err, puddle.ErrClosedPool) || !again(err) {
			return err
		}
		if !sleep(ctx, delays.NextBackOff()) {
			return err
		}
	}
}

// delays draws uniformly from [0, 2·interval], so half the base gives full jitter.
func (p RetryPolicy) delays() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = min(p.BaseDelay, p.MaxDelay) / 2
	b.MaxInterval = p.MaxDelay / 2
	b.RandomizationFactor = 1
	b.Multiplier = 2
	return b
}

func sleep(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
