package usage

import (
	"context"
	"time"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/strategy"
)

// InTx gives the Repo as it is inside a transaction: records are written in it, and
// figures include them. It has no background work of its own.
func (r *Repo) InTx(primary *strategy.Postgres) *Repo {
	in := &Repo{Config: r.Config, queries: r.queries, compactor: r.compactor, now: r.now}
	in.Primary = primary
	return in
}

// appendInTx writes an entry with the transaction, so it counts if that commits. A
// month's partition is made outside: inside, its lock would hold up every process
// that needs one until the transaction ends.
func (r *Repo) appendInTx(ctx context.Context, e entry) (row db.UsageBatchInsertRow, err error) {
	params := batch([]entry{e})
	insert := func(ctx context.Context, c db.DBTX) (err error) {
		row, err = r.insert(ctx, c, params, false)
		return err
	}
	if err = r.Primary.Write(ctx, insert); !withoutPartition(err) {
		return row, err
	}
	month := monthOf(e.Timestamp)
	err = r.Primary.Outside().Write(ctx, func(ctx context.Context, c db.DBTX) error {
		return r.queries.UsageEnsureMonth(ctx, c, month)
	})
	if err == nil {
		err = r.Primary.Write(ctx, insert)
	}
	return row, err
}

func monthOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}
