package usage

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// blockedAfter is how long a batch waits for a transaction that has one of its
	// requestIds; another batch commits within it. What waits longer is taken out, so
	// that a transaction which is open for minutes holds up nobody else's records.
	blockedAfter = "50ms"
	// maxBeside is how many of those are tried at a time.
	maxBeside = 2
)

// errBlocked is what a caller hears whose requestId stayed in an open transaction.
var errBlocked = result.New(result.QueryTimeout, "a transaction that has not ended has recorded this requestId")

// isBlocked knows a passed lock_timeout.
func isBlocked(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == lockNotAvailable
}

// commitAll is commit for a writer's batch: what is blocked is tried again beside its
// lanes.
func (r *Repo) commitAll(w *writer, batch []*waiting) {
	for _, b := range r.commit(context.Background(), batch) {
		w.aside(func() { r.outwait(b) })
	}
}

// outwait tries again with an entry, for OpTimeout or until the transaction has ended.
func (r *Repo) outwait(w *waiting) {
	ctx, cancel := context.WithTimeout(context.Background(), r.Primary.OpTimeout)
	defer cancel()
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = 20*time.Millisecond, 200*time.Millisecond
	for ctx.Err() == nil {
		pause(ctx, delays.NextBackOff())
		if r.beside.Acquire(ctx, 1) != nil {
			break
		}
		blocked := r.commit(context.WithoutCancel(ctx), []*waiting{w})
		r.beside.Release(1)
		if len(blocked) == 0 {
			return
		}
	}
	w.finish(outcome{err: errBlocked})
}
