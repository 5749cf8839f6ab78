package usage

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// RecordUsageWithin is RecordUsage for whoever has given its answer away and cannot take
// it back: it does not end with ctx, and a failure that may pass, such as a database that
// is away, is tried again for so long. The last try may take OpTimeout more. A record
// without a RequestID, which makes the tries count once, is InvalidQuery.
func (r *Repo) RecordUsageWithin(ctx context.Context, rec Record, within time.Duration) result.Status {
	if rec.RequestID == "" {
		return result.StatusOf(result.Invalid("requestId", "required: without one, a record that is tried again could count twice"))
	}
	status, err := backoff.Retry(context.WithoutCancel(ctx), func() (result.Status, error) {
		status := r.RecordUsage(context.WithoutCancel(ctx), rec)
		err := status.Err()
		if errors.Is(err, result.InvalidQuery) || errors.Is(err, result.RecordNotFound) || errors.Is(err, result.TransactionClosed) {
			err = backoff.Permanent(err)
		}
		return status, err
	}, backoff.WithMaxElapsedTime(max(within, time.Nanosecond)))
	if err != nil {
		return result.StatusOf(err)
	}
	return status
}
