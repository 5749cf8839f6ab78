package sessions

import (
	"context"
	"time"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// batchRows bounds what one transaction deletes.
const batchRows = 1000

// CleanupExpiredSessions deletes the sessions that have ended by the clock of the
// call, in transactions of 1,000 rows, and counts exactly those. Any number of
// processes may run it at once: each row is one's. OpTimeout bounds each
// transaction; the whole goes on until ctx ends. An error's
// details.deletedSessions says how many are deleted all the same.
func (r *Repo) CleanupExpiredSessions(ctx context.Context) result.Result[Cleaned] {
	return result.Of(r.cleanup(ctx, r.now(), func(int) {}))
}

// CleanupWithProgress is CleanupExpiredSessions for a person who waits: progress
// hears how many are deleted of about how many.
func (r *Repo) CleanupWithProgress(ctx context.Context, progress func(deleted, total int)) result.Result[Cleaned] {
	now := r.now()
	total, err := r.countExpired(ctx, now)
	if err != nil {
		return result.Fail[Cleaned](result.From(err).With("deletedSessions", 0))
	}
	progress(0, int(total))
	return result.Of(r.cleanup(ctx, now, func(deleted int) { progress(deleted, max(deleted, int(total))) }))
}

func (r *Repo) countExpired(ctx context.Context, now time.Time) (n int64, err error) {
	if s := r.redis(); s != nil {
		return s.countExpired(ctx, now)
	}
	err = r.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		n, err = r.queries.SessionCountExpired(ctx, c, now)
		return err
	})
	return n, err
}

func (r *Repo) cleanup(ctx context.Context, now time.Time, progress func(deleted int)) (Cleaned, error) {
	if s := r.redis(); s != nil {
		return s.cleanup(ctx, now, progress)
	}
	var all Cleaned
	for reached := (time.Time{}); ; {
		p := db.SessionDeleteExpiredParams{Since: reached, Now: now, RowLimit: batchRows}
		var batch db.SessionDeleteExpiredRow
		err := r.write(ctx, func(ctx context.Context, tx db.DBTX) (_ []cache.Key, err error) {
			batch, err = r.queries.SessionDeleteExpired(ctx, tx, p)
			return nil, err
		})
		if err != nil {
			return Cleaned{}, result.From(err).With("deletedSessions", all.DeletedSessions)
		}
		reached = batch.Reached
		all.DeletedSessions += int(batch.Deleted)
		progress(all.DeletedSessions)
		if batch.Deleted < batchRows {
			return all, nil
		}
	}
}
