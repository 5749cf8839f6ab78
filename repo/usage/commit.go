package usage

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/dbtype"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// SQLSTATEs that tell the statements' outcomes (PostgreSQL's manual, appendix A).
const (
	uniqueViolation  = "23505" // UsageBatchAppend: a requestId is registered
	notNullViolation = "23502" // UsageBatchAppend: an unknown key, hence no batch
	divisionByZero   = "22012" // UsageCompact: fewer records than the batches have
	lockNotAvailable = "55P03" // lock_timeout has passed
)

// commit writes a batch and tells each entry's caller. Entries that share their
// requestId with another one of the batch wait for what becomes of that one. Where a
// transaction that has not ended has one of the requestIds for longer than patience,
// it gives what is not written by then: their callers are not told yet, and most of
// them are held up by others of the batch only.
func (r *Repo) commit(ctx context.Context, all []*waiting, patience string) (blocked []*waiting) {
	batch, twins := split(all)
	blocked = r.commitDistinct(ctx, batch, patience)
	r.Primary.AfterCommit(ctx, func(context.Context) { r.compactor.wake() })
	again := answerTwins(batch, blocked, twins)
	if len(again) == 0 || len(blocked) > 0 { // one wait is enough
		return slices.Concat(blocked, again)
	}
	return r.commit(ctx, again, patience)
}

// answerTwins answers for the entries whose requestId has just been written by another
// one, and gives those whose other one was refused, or is blocked.
func answerTwins(written, blocked, twins []*waiting) (again []*waiting) {
	if len(twins) == 0 {
		return nil
	}
	left := make(map[*waiting]bool, len(blocked))
	for _, w := range blocked {
		left[w] = true
	}
	done := make(map[uuid.UUID]bool, len(written))
	for _, w := range written {
		done[w.requestHash] = !left[w] && w.outcome.err == nil && !w.outcome.unknown
	}
	for _, t := range twins {
		if done[t.requestHash] {
			t.finish(outcome{duplicate: true})
		} else {
			again = append(again, t)
		}
	}
	return again
}

// split takes out the later ones of entries with one requestId.
func split(all []*waiting) (batch, twins []*waiting) {
	seen := make(map[uuid.UUID]struct{}, len(all))
	batch = all[:0:0]
	for _, w := range all {
		if w.requestHash != uuid.Nil {
			if _, twin := seen[w.requestHash]; twin {
				twins = append(twins, w)
				continue
			}
			seen[w.requestHash] = struct{}{}
		}
		batch = append(batch, w)
	}
	return batch, twins
}

// commitDistinct writes a batch whose requestIds differ. Where the batch fails by
// the fault of some entry, its halves are tried, so that one bad record costs
// nobody but its own caller. It waits once for what is blocked, and gives back what is
// not written by then.
func (r *Repo) commitDistinct(ctx context.Context, batch []*waiting, patience string) (blocked []*waiting) {
	outcomes, err := r.append(ctx, batch, patience)
	switch {
	case err == nil:
		for i, w := range batch {
			w.finish(outcomes[i])
		}
	case errors.Is(err, errBlocked):
		return batch
	case len(batch) > 1 && atFault(err):
		half := len(batch) / 2
		if blocked = r.commitDistinct(ctx, batch[:half], patience); len(blocked) > 0 {
			return slices.Concat(blocked, batch[half:])
		}
		return r.commitDistinct(ctx, batch[half:], patience)
	default:
		for _, w := range batch {
			w.finish(outcome{err: err})
		}
	}
	return nil
}

// atFault tells whether an error is about what was written, not about the server.
func atFault(err error) bool {
	switch result.From(err).Code {
	case result.InvalidQuery, result.ConstraintViolation, result.DuplicateKey, result.Internal:
		return true
	}
	return false
}

// append writes entries under their own ids, so that a repeat after a lost
// acknowledgement finds them and adds nothing.
func (r *Repo) append(ctx context.Context, batch []*waiting, patience string) (outcomes []outcome, err error) {
	if r.Primary.InTx() {
		return r.appendInTx(ctx, batch)
	}
	ctx, cancel := context.WithTimeout(ctx, r.Primary.OpTimeout)
	defer cancel()
	repeat, blocked := false, false
	err = r.Primary.AppendAt(ctx, func(ctx context.Context, c db.DBTX, epoch int64) (err error) {
		err = r.months.with(ctx, c, batch, func() (err error) {
			if !repeat {
				if err = r.appendNew(ctx, c, batch, epoch, patience); err == nil || !sortedOut(err) {
					outcomes = make([]outcome, len(batch))
					return err
				}
			}
			outcomes, err = r.insert(ctx, c, batch, epoch, repeat || batch[0].unsure, patience)
			return err
		})
		if blocked = isBlocked(err); blocked {
			return nil // no call's patience, or retry, is for this
		}
		repeat = true
		return err
	})
	if err == nil && blocked {
		for _, w := range batch {
			w.unsure = w.unsure || repeat // an earlier try may be what blocks it
		}
		return nil, errBlocked
	}
	return outcomes, err
}

// appendNew writes a batch that is new in every part.
func (r *Repo) appendNew(ctx context.Context, c db.DBTX, batch []*waiting, epoch int64, patience string) error {
	if len(batch) > 1 {
		params := appendParams(batch, patience)
		params.Epoch, params.KeysElsewhere = epoch, r.Keys.Redis() != nil
		_, err := r.queries.UsageBatchAppend(ctx, c, params)
		return err
	}
	w := batch[0]
	return r.queries.UsageRecordAppend(ctx, c, db.UsageRecordAppendParams{
		Epoch: epoch, KeysElsewhere: r.Keys.Redis() != nil, LockTimeout: patience, RequestHash: w.requestHash, ID: w.id, OccurredAt: w.Timestamp,
		APIKeyID: w.key, AccountID: w.account, AccountType: w.AccountType, Model: w.Model,
		Requests: w.RequestCount, InputTokens: w.InputTokens, OutputTokens: w.OutputTokens,
		CacheCreationTokens: w.CacheCreationTokens, CacheReadTokens: w.CacheReadTokens, TotalTokens: w.TotalTokens,
		Cost: dbtype.Decimal{Decimal: w.Cost.Decimal()},
	})
}

// sortedOut tells whether UsageBatchInsert gets along with what made
// UsageBatchAppend fail: a registered requestId or an unknown key.
func sortedOut(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == uniqueViolation || pg.Code == notNullViolation)
}

// insert writes what is new and tells of each entry whether it is. Where a repeat
// waited for its first try to commit, or for a flush of the journal that has it, too, its snapshot is older than that and shows
// somebody else's record: a second look tells.
func (r *Repo) insert(ctx context.Context, c db.DBTX, batch []*waiting, epoch int64, repeat bool, lockTimeout string) ([]outcome, error) {
	params := insertParams(batch)
	params.LockTimeout, params.Epoch, params.KeysElsewhere = lockTimeout, epoch, r.Keys.Redis() != nil
	rows, err := r.queries.UsageBatchInsert(ctx, c, params)
	if err == nil && repeat && slices.ContainsFunc(rows, func(row db.UsageBatchInsertRow) bool { return !row.Written }) {
		var again []db.UsageBatchInsertRow
		again, err = r.queries.UsageBatchInsert(ctx, c, params)
		rows = append(rows, again...)
	}
	if err != nil {
		return nil, err
	}
	found := make(map[uuid.UUID]outcome, len(batch))
	for _, row := range rows {
		before, looked := found[row.ID]
		if looked && !before.duplicate && !before.unknown {
			continue // written by the first look
		}
		found[row.ID] = outcome{unknown: !row.Known, duplicate: row.Known && !row.Written && !row.StoredBefore}
	}
	outcomes := make([]outcome, len(batch))
	for i, w := range batch {
		outcomes[i] = found[w.id]
	}
	return outcomes, nil
}

// columns are a batch in the database's terms.
type columns struct {
	ids, requestHashes, keys, accounts   []uuid.UUID
	at                                   []time.Time
	accountTypes, models                 []string
	requests, input, output              []int64
	cacheCreation, cacheRead, totalCount []int64
	costs                                []dbtype.Decimal
}

func newColumns(batch []*waiting) columns {
	n := len(batch)
	ids, counts, texts := make([]uuid.UUID, 4*n), make([]int64, 6*n), make([]string, 2*n)
	c := columns{
		ids: ids[:n:n], requestHashes: ids[n : 2*n : 2*n], keys: ids[2*n : 3*n : 3*n], accounts: ids[3*n:],
		at: make([]time.Time, n), accountTypes: texts[:n:n], models: texts[n:],
		requests: counts[:n:n], input: counts[n : 2*n : 2*n], output: counts[2*n : 3*n : 3*n],
		cacheCreation: counts[3*n : 4*n : 4*n], cacheRead: counts[4*n : 5*n : 5*n], totalCount: counts[5*n:],
		costs: make([]dbtype.Decimal, n),
	}
	for i, w := range batch {
		c.ids[i], c.requestHashes[i], c.keys[i], c.accounts[i] = w.id, w.requestHash, w.key, w.account
		c.at[i], c.accountTypes[i], c.models[i] = w.Timestamp, w.AccountType, w.Model
		c.requests[i], c.input[i], c.output[i] = w.RequestCount, w.InputTokens, w.OutputTokens
		c.cacheCreation[i], c.cacheRead[i], c.totalCount[i] = w.CacheCreationTokens, w.CacheReadTokens, w.TotalTokens
		c.costs[i] = dbtype.Decimal{Decimal: w.Cost.Decimal()}
	}
	return c
}

func appendParams(batch []*waiting, patience string) db.UsageBatchAppendParams {
	c := newColumns(batch)
	hashes := slices.DeleteFunc(c.requestHashes, func(h uuid.UUID) bool { return h == uuid.Nil })
	slices.SortFunc(hashes, compareIDs)
	distinct := slices.Clone(c.keys)
	slices.SortFunc(distinct, compareIDs)
	return db.UsageBatchAppendParams{
		LockTimeout: patience, RequestHashes: hashes, DistinctKeys: slices.Compact(distinct),
		FirstAt: slices.MinFunc(c.at, time.Time.Compare), LastAt: slices.MaxFunc(c.at, time.Time.Compare),
		Ids: c.ids, OccurredAt: c.at, APIKeyIds: c.keys, AccountIds: c.accounts, AccountTypes: c.accountTypes, Models: c.models,
		Requests: c.requests, InputTokens: c.input, OutputTokens: c.output,
		CacheCreationTokens: c.cacheCreation, CacheReadTokens: c.cacheRead, TotalTokens: c.totalCount, Costs: c.costs,
	}
}

func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

func insertParams(batch []*waiting) db.UsageBatchInsertParams {
	c := newColumns(batch)
	return db.UsageBatchInsertParams{
		RequestHashes: c.requestHashes,
		Ids:           c.ids, OccurredAt: c.at, APIKeyIds: c.keys, AccountIds: c.accounts, AccountTypes: c.accountTypes, Models: c.models,
		Requests: c.requests, InputTokens: c.input, OutputTokens: c.output,
		CacheCreationTokens: c.cacheCreation, CacheReadTokens: c.cacheRead, TotalTokens: c.totalCount, Costs: c.costs,
	}
}
