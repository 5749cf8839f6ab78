package bench

import (
	"context"
	"time"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/repo"
)

const (
	// meterWait bounds the wait for the meter's next check, which takes two seconds.
	meterWait = time.Minute
	meterPoll = 50 * time.Millisecond
)

// consistency waits until the library's meter has compared one more cached answer
// with PostgreSQL, so that what the writes have left behind is looked at, and
// gives all that it has counted.
func consistency(ctx context.Context, c *repo.Client) (cache.Consistency, error) {
	ctx, cancel := context.WithTimeout(ctx, meterWait)
	defer cancel()
	tick := time.NewTicker(meterPoll)
	defer tick.Stop()
	for before := c.APIKeys.Consistency(); ; {
		if now := c.APIKeys.Consistency(); now.Checked > before.Checked {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return cache.Consistency{}, ctx.Err()
		case <-tick.C:
		}
	}
}
