package strategy

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
)

// beatEvery keeps the processes together from writing more heartbeats than one.
const beatEvery = 400 * time.Millisecond

// beat writes a heartbeat, unless another process does or has just done so.
// Changes that wait, those that another process is telling included, hold it back.
func (o *Outbox) beat(ctx context.Context) error {
	err := o.Primary.Retrying(0).Write(ctx, func(ctx context.Context, tx db.DBTX) error {
		last, err := o.queries.CacheHeartbeatLock(ctx, tx)
		if err != nil {
			return err
		}
		state, err := o.queries.CacheOutboxState(ctx, tx)
		if err != nil {
			return err
		}
		if since := state.Now.UnixMicro() - last.Beat; 0 <= since && since < beatEvery.Microseconds() {
			return nil
		}
		held, server, err := o.Cache.ReadHeartbeat(ctx)
		if err != nil {
			return err
		}
		h, due := successor(last, state, held, server)
		if !due {
			return nil
		}
		if err := o.Cache.ReplaceHeartbeat(ctx, held, h); err != nil {
			return err
		}
		return o.queries.CacheHeartbeatSet(ctx, tx, db.CacheHeartbeatSetParams{Beat: h.Beat, Epoch: h.Epoch, Server: server})
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}

// successor gives the heartbeat that follows the last one, and whether it is due. A
// new epoch is always, whatever waits: where Redis has lost writes, where it is
// another server, and where the database's clock was set back, which would else
// hold the heartbeats up until it has caught up.
func successor(last db.CacheHeartbeatLockRow, state db.CacheOutboxStateRow, held cache.Heartbeat, server string) (h cache.Heartbeat, due bool) {
	now := state.Now.UnixMicro()
	h = cache.Heartbeat{Epoch: last.Epoch, Beat: state.Oldest.UnixMicro(), Lag: state.Now.Sub(state.Oldest)}
	if held.Beat != last.Beat || held.Epoch != last.Epoch || server != last.Server || now < last.Beat {
		h.Epoch = max(now, last.Epoch+1)
		return h, true
	}
	return h, h.Beat >= last.Beat+beatEvery.Microseconds()
}
