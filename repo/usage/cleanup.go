package usage

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// DefaultRetentionDays is the contract's retentionDays.
const DefaultRetentionDays = 90

const (
	maxRetentionDays = 36_600
	// trimBatch is how many rows one DELETE takes: 10,000 of the ledger's in 50 ms.
	trimBatch = 10_000
	// Who waits for the ledger's lock makes everybody wait: first for firstWait, then
	// twice as long each time, up to lastWait, and rests up to longestRest in between.
	firstWait   = 50 * time.Millisecond
	lastWait    = 400 * time.Millisecond
	longestRest = 2 * time.Second
)

// Cleanup is what a clean-up did.
type Cleanup struct {
	DeletedRecords int64 `json:"deletedRecords"`
	// RemainingRecords are in the ledger afterwards.
	RemainingRecords int64 `json:"remainingRecords"`
}

// CleanupOptions of [Repo.Cleanup].
type CleanupOptions struct {
	// RetentionDays is how many whole UTC days before today stay: 1 to 36,600.
	RetentionDays int
	// Rollups makes the figures of that time go as well, except for the totals of
	// keys and accounts; without it they stay. Imported spans go where they end in it,
	// opening balances never.
	Rollups bool
	// Progress, if set, hears how many records are deleted so far.
	Progress func(deleted int64)
}

// CleanupOldStats deletes the ledger's records from before 00:00 UTC, retentionDays
// days ago (the contract's default is DefaultRetentionDays); fewer than 1 is
// InvalidQuery. Figures of that time still come from the rollups; a range that
// begins or ends inside a quarter of an hour of it counts that one as a whole, and
// says so with approximate. Whole months go at once, the rest in small batches, and
// recording goes on. Several processes may clean up together. After a failure,
// details.deletedRecords tells what is gone already; calling again goes on. Inside a
// transaction, which would keep everybody's records waiting, it is InvalidQuery. A Redis
// primary expires what it has by itself: nothing is deleted there, and RemainingRecords
// are those of its lists, at most 200 a key.
func (r *Repo) CleanupOldStats(ctx context.Context, retentionDays int) result.Result[Cleanup] {
	return r.Cleanup(ctx, CleanupOptions{RetentionDays: retentionDays})
}

// Cleanup is CleanupOldStats with more to choose.
func (r *Repo) Cleanup(ctx context.Context, o CleanupOptions) result.Result[Cleanup] {
	if r.Primary.InTx() {
		return result.Fail[Cleanup](errCleanupInTx)
	}
	if o.RetentionDays < 1 || o.RetentionDays > maxRetentionDays {
		return result.Of(Cleanup{}, error(result.Invalid("retentionDays", "must lie between 1 and %d", maxRetentionDays)))
	}
	if redis := r.onRedis(); redis != nil {
		return result.Of(redisCleanup(ctx, redis, o))
	}
	cut := r.now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -o.RetentionDays)
	c := cleaner{Repo: r, cut: cut, options: o}
	if err := c.run(ctx); err != nil {
		return result.Of(Cleanup{}, error(result.From(err).With("deletedRecords", c.deleted)))
	}
	remaining, err := c.remaining(ctx)
	return result.Of(Cleanup{DeletedRecords: c.deleted, RemainingRecords: remaining}, err)
}

// cleaner is one clean-up.
type cleaner struct {
	*Repo

	cut     time.Time
	options CleanupOptions
	deleted int64
}

func (c *cleaner) run(ctx context.Context) error {
	if !c.cut.After(firstTime) {
		return nil // no record is older
	}
	// Before anything goes: verify and readers of torn cells look at it.
	err := c.write(ctx, func(ctx context.Context, tx db.DBTX) error {
		return c.queries.UsageHorizonAdvance(ctx, tx, c.cut)
	})
	if err != nil {
		return err
	}
	if err := c.compact(ctx); err != nil { // what is pending cannot go
		return err
	}
	if err := c.dropMonths(ctx); err != nil {
		return err
	}
	if err := c.trim(ctx, c.trimRecords, c.count); err != nil || !c.options.Rollups {
		return err
	}
	return c.trimRollups(ctx)
}

func (c *cleaner) count(n int64) {
	c.deleted += n
	if c.options.Progress != nil {
		c.options.Progress(c.deleted)
	}
}

// write runs one statement in a transaction of its own.
func (c *cleaner) write(ctx context.Context, f func(context.Context, db.DBTX) error) error {
	return c.Primary.Write(ctx, f)
}

// again calls f until it is done, fails, or ctx ends.
func (c *cleaner) again(ctx context.Context, f func() (done bool, err error)) error {
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = 20*time.Millisecond, longestRest
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		switch done, err := f(); {
		case err != nil:
			return struct{}{}, backoff.Permanent(err)
		case !done:
			return struct{}{}, errNotYet
		}
		return struct{}{}, nil
	}, backoff.WithBackOff(delays), backoff.WithMaxElapsedTime(0))
	if errors.Is(err, errNotYet) {
		err = ctx.Err()
	}
	return err
}

var errNotYet = errors.New("not yet")

// dropMonths drops the months that end before the cut. One of which a query reads
// just now is tried again.
func (c *cleaner) dropMonths(ctx context.Context) error {
	var months []time.Time
	err := c.Primary.Read(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
		months, err = c.queries.UsageMonths(ctx, tx, c.cut)
		return err
	})
	for _, month := range months {
		wait := firstWait
		if err == nil {
			err = c.again(ctx, func() (bool, error) {
				defer func() { wait = min(2*wait, lastWait) }()
				return c.dropMonth(ctx, month, wait)
			})
		}
	}
	return err
}

func (c *cleaner) dropMonth(ctx context.Context, month time.Time, wait time.Duration) (done bool, err error) {
	if err := c.compact(ctx); err != nil { // so that little is left to do while others wait
		return false, err
	}
	var n int64
	err = c.write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
		n, err = c.compactAndDrop(ctx, tx, month, wait)
		return err
	})
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == lockNotAvailable:
		return false, nil
	case err != nil:
		return false, err
	}
	c.months.ensured.Delete(month)
	c.count(n)
	return true, nil
}

// compactAndDrop keeps everybody out until the month is dropped, which needs its last
// records in the rollups. The compactors' lock comes first, as in each of them.
func (c *cleaner) compactAndDrop(ctx context.Context, tx db.DBTX, month time.Time, wait time.Duration) (int64, error) {
	if err := c.queries.UsageSettings(ctx, tx); err != nil {
		return 0, err
	}
	if err := c.queries.UsageCompactorHold(ctx, tx, compactLock); err != nil {
		return 0, err
	}
	locked, err := c.queries.UsageMonthLock(ctx, tx, db.UsageMonthLockParams{Month: month, WaitMs: int32(wait.Milliseconds())}) //nolint:gosec // lastWait bounds it
	if err != nil || !locked {
		return 0, err
	}
	for {
		n, err := c.queries.UsageMonthDrop(ctx, tx, month)
		if err != nil || n >= 0 {
			return n, err
		}
		if _, err := c.queries.UsageCompact(ctx, tx, db.UsageCompactParams{Lock: compactLock, BatchLimit: compactBatches}); err != nil {
			return 0, err
		}
	}
}

// trim deletes batch after batch until one is not full.
func (c *cleaner) trim(ctx context.Context, batch func(context.Context, db.DBTX) (int64, error), count func(int64)) error {
	for {
		var n int64
		err := c.write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
			n, err = batch(ctx, tx)
			return err
		})
		if err != nil {
			return err
		}
		if count(n); n < trimBatch {
			return nil
		}
	}
}

func (c *cleaner) trimRecords(ctx context.Context, tx db.DBTX) (int64, error) {
	return c.queries.UsageRecordsTrim(ctx, tx, db.UsageRecordsTrimParams{Since: monthOf(c.cut), Before: c.cut, RowLimit: trimBatch})
}

func (c *cleaner) trimRollups(ctx context.Context) error {
	err := c.write(ctx, func(ctx context.Context, tx db.DBTX) error {
		return c.queries.UsageRollupsHorizonAdvance(ctx, tx, c.cut)
	})
	q := c.queries
	for _, batch := range []func(context.Context, db.DBTX) (int64, error){
		func(ctx context.Context, tx db.DBTX) (int64, error) {
			return q.UsageRollupsTrim(ctx, tx, db.UsageRollupsTrimParams{Before: c.cut, RowLimit: trimBatch})
		},
		func(ctx context.Context, tx db.DBTX) (int64, error) {
			return q.UsageRollupsHourlyTrim(ctx, tx, db.UsageRollupsHourlyTrimParams{Before: c.cut, RowLimit: trimBatch})
		},
		func(ctx context.Context, tx db.DBTX) (int64, error) {
			return q.UsageRollupsDailyTrim(ctx, tx, db.UsageRollupsDailyTrimParams{Before: c.cut, RowLimit: trimBatch})
		},
		func(ctx context.Context, tx db.DBTX) (int64, error) {
			return q.UsageRollupsGlobalTrim(ctx, tx, db.UsageRollupsGlobalTrimParams{Before: c.cut, RowLimit: trimBatch})
		},
		func(ctx context.Context, tx db.DBTX) (int64, error) {
			return q.UsageRollupsGlobalDailyTrim(ctx, tx, db.UsageRollupsGlobalDailyTrimParams{Before: c.cut, RowLimit: trimBatch})
		},
		c.trimImported,
	} {
		if err == nil {
			err = c.trim(ctx, batch, func(int64) {})
		}
	}
	return err
}

// trimImported makes spans count in totals only, after the horizon has moved: what an
// import brings of that time from now on is left out.
func (c *cleaner) trimImported(ctx context.Context, tx db.DBTX) (int64, error) {
	if err := c.queries.UsageImportLock(ctx, tx, importLock); err != nil {
		return 0, err
	}
	return c.queries.UsageImportedTrim(ctx, tx, db.UsageImportedTrimParams{Before: c.cut, RowLimit: trimBatch})
}

func (c *cleaner) remaining(ctx context.Context) (n int64, err error) {
	err = c.Primary.Read(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
		n, err = c.queries.UsageRemaining(ctx, tx)
		return err
	})
	return n, err
}
