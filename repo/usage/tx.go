package usage

import (
	"context"
	"slices"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

var (
	errCleanupInTx = result.New(result.InvalidQuery, "a clean-up is many transactions: it does not work inside one")
	errImportInTx  = result.New(result.InvalidQuery, "an import is many transactions: it does not work inside one")
	errVerifyInTx  = result.New(result.InvalidQuery, "a verification is many transactions: it does not work inside one")
)

// InTx gives the Repo as it is inside a transaction: records are written in it, and
// figures include them. It has no background work of its own.
func (r *Repo) InTx(primary *strategy.Postgres) *Repo {
	in := &Repo{Config: r.Config, queries: r.queries, compactor: r.compactor, behind: r.behind, keys: r.keys, now: r.now}
	in.horizon.Store(r.horizon.Load())
	in.Primary = primary
	return in
}

// writeInTx writes entries with the transaction, so that they count if that commits.
// It passes by the writer, whose batches are other calls' as well, and the journal,
// whose records count whatever becomes of the transaction.
func (r *Repo) writeInTx(ctx context.Context, entries []entry) []*waiting {
	all, _ := await(entries)
	for batch := range slices.Chunk(all, maxBatch) {
		r.commit(ctx, batch, blockedAfter)
	}
	return all
}

// appendInTx writes a batch with the transaction. A month's partition is made
// outside: inside, its lock would hold up every process that needs one until the
// transaction ends.
func (r *Repo) appendInTx(ctx context.Context, batch []*waiting) (outcomes []outcome, err error) {
	insert := func(ctx context.Context, c db.DBTX) (err error) {
		outcomes, err = r.insert(ctx, c, batch, r.Primary.Epoch(), false, "")
		return err
	}
	if err = r.Primary.Write(ctx, insert); !withoutPartition(err) {
		return outcomes, err
	}
	err = r.Primary.Outside().Write(ctx, func(ctx context.Context, c db.DBTX) error {
		asked := months{queries: r.queries}
		return asked.ensureAll(ctx, c, batch)
	})
	if err == nil {
		err = r.Primary.Write(ctx, insert)
	}
	return outcomes, err
}
