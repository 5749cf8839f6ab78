package strategy

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/seed14a526e0/relaystore/db"
)

const (
	// outboxKeeps is how long a change waits for a Redis; dropping it then begins a
	// new epoch.
	outboxKeeps = time.Hour
	trimEvery   = 10 * time.Minute
	trimRows    = 10_000
)

// trim keeps the outbox small where no process has a Redis.
func (o *Outbox) trim(ctx context.Context) {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = o.Trim(ctx) // what stays, the next one takes
		}
	}
}

// Trim drops changes that have waited for more than an hour. Redis does not hear of
// them; it gets a new epoch instead.
func (o *Outbox) Trim(ctx context.Context) error {
	keeps := pgtype.Interval{Microseconds: outboxKeeps.Microseconds(), Valid: true}
	for {
		var dropped int64
		err := o.Primary.Retrying(0).Write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
			dropped, err = o.queries.CacheOutboxTrim(ctx, tx, db.CacheOutboxTrimParams{Keeps: keeps, RowLimit: trimRows})
			if err != nil || dropped == 0 {
				return err
			}
			return o.queries.CacheHeartbeatVoid(ctx, tx)
		})
		if err != nil || dropped < trimRows {
			return err
		}
	}
}
