package strategy

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
)

const (
	// channel is what the outbox's triggers notify.
	channel = "relaystore_cache"
	// drainEvery is the net below the notifications, and the pace of heartbeats.
	drainEvery = 500 * time.Millisecond
	// gather lets changes that come together be told together: a drain costs a
	// commit, and what the library wrote itself has been told already.
	gather = 10 * time.Millisecond
	// drainRows bounds what one transaction takes, and tells Redis in one deadline.
	drainRows = 64
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
	every   time.Duration // drainEvery, but in tests
	batch   int           // rows that the drainer takes next
	woken   chan struct{}
	stop    context.CancelFunc
	work    sync.WaitGroup
}

// Start begins the background work, which Close ends.
func (o *Outbox) Start() {
	ctx, stop := context.WithCancel(context.Background())
	o.woken, o.stop, o.batch = make(chan struct{}, 1), stop, drainRows
	o.every = cmp.Or(o.every, drainEvery)
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
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	failed := false
	for ctx.Err() == nil {
		err := o.tellAll(ctx)
		failing := failed || err != nil
		select {
		case <-tick.C:
			err = errors.Join(err, o.beat(ctx))
			failing = err != nil || failed && !o.heartbeatSeen(ctx)
		case <-o.woken:
			sleep(ctx, gather)
		case <-ctx.Done():
			return
		}
		if failed != failing && ctx.Err() == nil {
			failed = failing
			o.report(failed)
		}
	}
}

// heartbeatSeen tells whether Redis holds a heartbeat. Only that ends a failure: while
// the connection is lost, nothing is taken out of the outbox, which is no error.
func (o *Outbox) heartbeatSeen(ctx context.Context) bool {
	held, _, err := o.Cache.ReadHeartbeat(ctx)
	return err == nil && held.Beat != 0
}

func (o *Outbox) report(failed bool) {
	if failed {
		o.Logger.Warn("relaystore: changes cannot be told to Redis, caches end at their staleness bound until they can")
		return
	}
	o.Logger.Info("relaystore: changes are told to Redis again")
}

// errMoved means that what was told may have gone to another Redis than the others'.
var errMoved = errors.New("the connection to Redis was lost while it was told")

// tellAll empties the outbox of what no other process is telling. A Redis that is
// too slow for a batch gets half as many at its next try, and then slowly more.
func (o *Outbox) tellAll(ctx context.Context) error {
	for {
		told, err := o.tellBatch(ctx)
		if err != nil {
			o.batch = max(1, o.batch/2)
			return err
		}
		if told < o.batch {
			return nil
		}
		o.batch = min(drainRows, o.batch+1+o.batch/8)
	}
}

// tellBatch takes changes out of the outbox only while its Redis is in the epoch
// that PostgreSQL knows, from before until after it has told them: a server that is
// no master any more, to its clients' knowledge, takes them and tells nobody else.
func (o *Outbox) tellBatch(ctx context.Context) (told int, err error) {
	err = o.Primary.Retrying(0).Write(ctx, func(ctx context.Context, tx db.DBTX) error {
		if err := o.queries.CommitSoon(ctx, tx); err != nil {
			return err
		}
		epoch := o.Cache.Epoch()
		rows, err := o.queries.CacheOutboxTake(ctx, tx, db.CacheOutboxTakeParams{RowLimit: int32(o.batch), Epoch: epoch}) //nolint:gosec // at most drainRows
		told = len(rows)
		if err != nil || told == 0 {
			return err
		}
		if err := o.tell(ctx, rows); err != nil {
			return err
		}
		if o.Cache.Epoch() != epoch {
			return errMoved
		}
		return nil
	})
	return told, err
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
