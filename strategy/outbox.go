package strategy

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
)

const (
	// channel is what the outbox's triggers notify.
	channel = "relaystore_cache"
	// drainEvery is the net below the notifications, and the pace of heartbeats.
	drainEvery = 500 * time.Millisecond
	// beatEvery keeps the processes together from writing more heartbeats than one.
	beatEvery = 400 * time.Millisecond
	// gather lets changes that come together be told together: a drain costs a
	// commit, and what the library wrote itself has been told already.
	gather = 10 * time.Millisecond
	// drainRows bounds what one transaction takes.
	drainRows = 64
	// outboxKeeps is how long a change waits for a Redis. A Redis that was not told
	// for half of that gets a new epoch, so that dropping the change is harmless.
	outboxKeeps = time.Hour
	trimEvery   = 10 * time.Minute
	trimRows    = 10_000
)

// Outbox brings committed changes to Redis: it drains the outbox's table whenever
// a trigger notifies, and writes the heartbeat that tells every process so. Any
// number of processes run one.
type Outbox struct {
	// Primary is where the outbox is.
	Primary *Postgres
	// Cache is told; a nil one is not, and the outbox is only kept small.
	Cache *cache.Cache
	// Listen is how to connect for notifications, past any transaction pooler.
	Listen *pgx.ConnConfig
	// Logger takes one line a change of state.
	Logger *slog.Logger

	queries db.Queries
	woken   chan struct{}
	stop    context.CancelFunc
	work    sync.WaitGroup
}

// Start begins the background work, which Close ends.
func (o *Outbox) Start() {
	ctx, stop := context.WithCancel(context.Background())
	o.woken, o.stop = make(chan struct{}, 1), stop
	o.work.Go(func() { o.trim(ctx) })
	if o.Cache == nil {
		return
	}
	o.work.Go(func() { o.drain(ctx) })
	o.work.Go(func() { o.listen(ctx) })
}

// Close ends the background work; what is not told yet, another process tells.
func (o *Outbox) Close() {
	o.stop()
	o.work.Wait()
}

// listen wakes the drainer at each notification, and after each connecting: what
// was notified in between is in the table.
func (o *Outbox) listen(ctx context.Context) {
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = 50*time.Millisecond, 2*time.Second
	for ctx.Err() == nil {
		connected, _ := o.listenOnce(ctx)
		if connected {
			delays.Reset()
		}
		sleep(ctx, delays.NextBackOff())
	}
}

func (o *Outbox) listenOnce(ctx context.Context) (connected bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, o.Listen)
	if err != nil {
		return false, err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return false, err
	}
	for {
		o.wake()
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return true, err
		}
	}
}

func (o *Outbox) wake() {
	select {
	case o.woken <- struct{}{}:
	default:
	}
}

func (o *Outbox) drain(ctx context.Context) {
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	failed := false
	for ctx.Err() == nil {
		err := o.tellAll(ctx)
		select {
		case <-tick.C:
			err = errors.Join(err, o.beat(ctx))
		case <-o.woken:
			sleep(ctx, gather)
		case <-ctx.Done():
			return
		}
		if failed != (err != nil) && ctx.Err() == nil {
			failed = err != nil
			o.report(failed)
		}
	}
}

func (o *Outbox) report(failed bool) {
	if failed {
		o.Logger.Warn("relaystore: changes cannot be told to Redis, caches end at their staleness bound until they can")
		return
	}
	o.Logger.Info("relaystore: changes are told to Redis again")
}

// tellAll empties the outbox of what no other process is telling.
func (o *Outbox) tellAll(ctx context.Context) error {
	for {
		told := 0
		err := o.Primary.Retrying(0).Write(ctx, func(ctx context.Context, tx db.DBTX) error {
			if err := o.queries.CommitSoon(ctx, tx); err != nil {
				return err
			}
			rows, err := o.queries.CacheOutboxTake(ctx, tx, drainRows)
			told = len(rows)
			if err != nil || told == 0 {
				return err
			}
			return o.tell(ctx, rows)
		})
		if err != nil || told < drainRows {
			return err
		}
	}
}

func (o *Outbox) tell(ctx context.Context, rows []db.CacheOutboxTakeRow) error {
	kinds := make(map[string][]cache.Key)
	for _, row := range rows {
		if len(row.Key) == len(cache.Key{}) {
			kinds[row.Kind] = append(kinds[row.Kind], cache.Key(row.Key))
		}
	}
	for kind, keys := range kinds {
		if err := o.Cache.Tell(ctx, kind, keys); err != nil {
			return err
		}
	}
	return nil
}

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
		h := cache.Heartbeat{Epoch: last.Epoch, Beat: state.Oldest.UnixMicro(), Lag: state.Now.Sub(state.Oldest)}
		if h.Beat < last.Beat+beatEvery.Microseconds() {
			return nil
		}
		held, err := o.Cache.ReadHeartbeat(ctx)
		if err != nil {
			return err
		}
		server, err := o.Cache.Server(ctx)
		if err != nil {
			return err
		}
		silent := time.Duration(h.Beat-last.Beat) * time.Microsecond
		lost := held.Beat != last.Beat || held.Epoch != last.Epoch || server != last.Server
		if lost || silent > outboxKeeps/2 {
			h.Epoch = h.Beat
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

// Trim drops changes that have waited for more than an hour.
func (o *Outbox) Trim(ctx context.Context) error {
	return o.Primary.Retrying(0).Write(ctx, func(ctx context.Context, tx db.DBTX) error {
		_, err := o.queries.CacheOutboxTrim(ctx, tx, db.CacheOutboxTrimParams{Keeps: pgtype.Interval{Microseconds: outboxKeeps.Microseconds(), Valid: true}, RowLimit: trimRows})
		return err
	})
}
