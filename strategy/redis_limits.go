package strategy

import (
	"context"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Limit is what a data type cannot do, or does otherwise, where its primary is Redis.
type Limit struct {
	DataType DataType
	What     string
}

// RedisLimits are the limits of the Redis primary.
var RedisLimits = []Limit{
	{APIKey, "No method works inside a transaction, and no BatchOperation changes api_keys: DB_INVALID_QUERY."},
	{APIKey, "Times are kept to the millisecond, createdAt to the microsecond."},
	{APIKey, "A key that is neither written nor used for 365 days vanishes: the service gives each that life."},
	{APIKey, "A deleted key's hash is free again; a deleted key's id is not."},
	{APIKey, "Lists look through all keys, at most 200,000 (then LIMIT_EXCEEDED), and are no snapshot; names sort by their bytes."},
	{APIKey, "Keys whose id is no UUID in lower case are not seen."},
	{APIKey, "What the service has stored in another form counts as its default, and permissions that cannot be read grant nothing; the text stays until that field is updated."},
	{APIKey, "Validation is a round trip to Redis each time, without a cache: while Redis is down, it fails with DB_CONNECTION_FAILED."},
	{Session, "No method works inside a transaction, and no BatchOperation changes sessions: DB_INVALID_QUERY."},
	{Session, "Sessions are kept in keys of their own; the service's sessions are left alone, and open nothing here."},
	{Session, "A session that ended 30 days ago may go without a cleanup."},
}

// NoBatch is why a batch cannot change t now: its primary is Redis. nil is that it can.
func (p *Place) NoBatch(t DataType) error {
	if p.Redis() == nil {
		return nil
	}
	return noTransaction(t)
}

// RefuseTx is why t, whose primary is Redis, cannot be asked for here: inside a
// transaction, which may have ended, or after the caller has left.
func (p *Postgres) RefuseTx(ctx context.Context, t DataType) error {
	if !p.InTx() {
		return ctx.Err()
	}
	if err := p.Read(ctx, func(context.Context, db.DBTX) error { return nil }); err != nil {
		return err
	}
	return noTransaction(t)
}

func noTransaction(t DataType) error {
	return result.New(result.InvalidQuery, "the primary of %s is Redis, which takes part in no transaction", t)
}
