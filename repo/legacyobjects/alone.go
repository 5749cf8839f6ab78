package legacyobjects

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// aloneLock is the advisory lock of the one import; the number is ours alone.
	aloneLock = 7_246_182_519_003
	// alonePatience is how long an import waits for another to end: the lock of one that
	// was killed goes when the server finds its connection closed.
	alonePatience = 5 * time.Second
	aloneEvery    = 100 * time.Millisecond
)

// Turn is an import's time with the database for itself.
type Turn struct {
	repo *Repo
	tx   pgx.Tx
}

// Alone gives the caller the database for itself among imports, until Release. While
// another one has it that is DB_TRANSACTION_CONFLICT, after five seconds. It takes a connection of
// the pool, whose transaction holds the lock and nothing else, so that it works through
// PgBouncer, and ends with the process.
func (r *Repo) Alone(ctx context.Context) (*Turn, error) {
	if r.Primary.Conns() < 2 {
		return nil, result.Invalid("MaxConns", "an import needs 2 connections")
	}
	bounded, cancel := r.Primary.Bounded(ctx)
	defer cancel()
	tx, err := r.Primary.Pool.Begin(bounded)
	if err != nil {
		return nil, result.From(err)
	}
	t := &Turn{r, tx}
	for deadline := time.Now().Add(alonePatience); ; {
		mine, err := t.try(ctx)
		switch {
		case err != nil:
			t.Release()
			return nil, result.From(err)
		case mine:
			return t, nil
		case time.Now().After(deadline):
			t.Release()
			return nil, result.New(result.TransactionConflict, "another import is under way here: run it again when that has ended")
		}
		select {
		case <-ctx.Done():
		case <-time.After(aloneEvery):
		}
	}
}

func (t *Turn) try(ctx context.Context) (mine bool, err error) {
	ctx, cancel := t.repo.Primary.Bounded(ctx)
	defer cancel()
	return t.repo.queries.LegacyImportTry(ctx, t.tx, aloneLock)
}

// Check tells why the turn is over, if it is.
func (t *Turn) Check(ctx context.Context) error {
	ctx, cancel := t.repo.Primary.Bounded(ctx)
	defer cancel()
	if err := t.repo.queries.LegacyImportHeld(ctx, t.tx); err != nil {
		return result.From(err)
	}
	return nil
}

// Release lets others import.
func (t *Turn) Release() {
	ctx, cancel := context.WithTimeout(context.Background(), alonePatience)
	defer cancel()
	_ = t.tx.Rollback(ctx)
}
