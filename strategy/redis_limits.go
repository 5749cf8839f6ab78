package strategy

import (
	"context"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// NoBatch is why a batch cannot change t now: its primary is Redis. nil is that it can.
func (p *Place) NoBatch(t DataType) error {
	if p.Redis() == nil {
		return nil
	}
	return NoTransaction(t)
}

// RefuseTx is why t, whose primary is Redis, cannot be asked for here: inside a
// transaction, which may have ended, or for a caller who has left.
func (p *Postgres) RefuseTx(ctx context.Context, t DataType) error {
	if !p.InTx() {
		return ctx.Err()
	}
	if err := p.Read(ctx, func(context.Context, db.DBTX) error { return nil }); err != nil {
		return err
	}
	return NoTransaction(t)
}

// NoTransaction is the refusal of a data type on Redis inside a transaction.
func NoTransaction(t DataType) error {
	return result.New(result.InvalidQuery, "the primary of %s is Redis, which takes part in no transaction", t)
}
