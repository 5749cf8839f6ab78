package usage

import (
	"context"
	"errors"
	"sync"
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
	// briefly is how long a try beside the lanes waits: it is made again.
	briefly = "1ms"
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

// commitAll is commit for a writer's batch. A lane waits once for a batch: who of it is
// blocked is found out beside the lanes, where those are tried again, for OpTimeout.
func (r *Repo) commitAll(w *writer, batch []*waiting) {
	blocked := r.commit(context.Background(), batch, blockedAfter)
	if len(blocked) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.Primary.OpTimeout)
	w.aside(func() {
		defer cancel()
		var outwaiting sync.WaitGroup
		for _, b := range r.sift(ctx, blocked) {
			outwaiting.Go(func() { r.outwait(ctx, b) })
		}
		outwaiting.Wait()
	})
}

// sift commits what of some entries no transaction blocks, and gives back the rest,
// with what ctx left no time for. It halves them, large parts first, so that those who
// share nothing with the blocked ones are done early: of 300, of which 200 are blocked,
// it takes some 400 statements of 1 to 2 ms.
func (r *Repo) sift(ctx context.Context, all []*waiting) (blocked []*waiting) {
	for parts := [][]*waiting{all}; len(parts) > 0; {
		part := parts[0]
		parts = parts[1:]
		if r.beside.Acquire(ctx, 1) != nil {
			blocked = append(blocked, part...)
			continue
		}
		left := r.commit(context.WithoutCancel(ctx), part, briefly)
		r.beside.Release(1)
		if half := len(left) / 2; half > 0 {
			parts = append(parts, left[:half], left[half:])
		} else {
			blocked = append(blocked, left...)
		}
	}
	return blocked
}

// outwait tries again with an entry until ctx ends or the transaction has ended.
func (r *Repo) outwait(ctx context.Context, w *waiting) {
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = 20*time.Millisecond, 200*time.Millisecond
	for ctx.Err() == nil {
		pause(ctx, delays.NextBackOff())
		if len(r.sift(ctx, []*waiting{w})) == 0 {
			return
		}
	}
	w.finish(outcome{err: errBlocked})
}
