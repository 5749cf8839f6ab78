package usage

import (
	"context"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/dbtype"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// RecordUsage writes one record and returns when it is committed. Wrong input is
// InvalidQuery and an unknown key RecordNotFound; both name the field, and
// nothing is written. A RequestID that was recorded before is a success with
// Duplicate set, and counts nothing, whatever else the record says. A caller who cancels before the write starts gets Cancelled;
// after that the call waits for the commit, at most OpTimeout, and details of a
// failure say with outcomeUnknown if it may have happened.
func (r *Repo) RecordUsage(ctx context.Context, rec Record) result.Status {
	if err := checkAccountType(rec.AccountType); err != nil {
		return result.StatusOf(err)
	}
	return r.record(ctx, "apiKeyId", rec)
}

// RecordKeyUsage is RecordUsage for a record without an account; a refused key
// is named keyId, as the contract's recordApiKeyUsage calls it.
func (r *Repo) RecordKeyUsage(ctx context.Context, rec Record) result.Status {
	return r.record(ctx, "keyId", rec)
}

func (r *Repo) record(ctx context.Context, keyField string, rec Record) result.Status {
	e, err := rec.check(keyField, r.now())
	if err != nil {
		return result.StatusOf(err)
	}
	row, err := r.append(ctx, e)
	switch {
	case err != nil:
		return result.StatusOf(err)
	case !row.Known:
		return result.StatusOf(result.New(result.RecordNotFound, "%s: no such key", keyField).With("field", keyField))
	}
	r.Primary.AfterCommit(ctx, func(context.Context) { r.compactor.wake() })
	return result.Status{Duplicate: !row.Written && !row.StoredBefore}
}

// append writes an entry under its own id, so that a repeat after a lost
// acknowledgement finds it and adds nothing.
func (r *Repo) append(ctx context.Context, e entry) (row db.UsageBatchInsertRow, err error) {
	if r.Primary.InTx() {
		return r.appendInTx(ctx, e)
	}
	params, repeat := batch([]entry{e}), false
	err = r.Primary.Append(ctx, func(ctx context.Context, c db.DBTX) error {
		defer func() { repeat = true }()
		return r.months.with(ctx, c, e.Timestamp, func() (err error) {
			row, err = r.insert(ctx, c, params, repeat)
			return err
		})
	})
	return row, err
}

// insert writes a batch of one. Where a repeat waited for its first try to
// commit, its snapshot is older than that and shows somebody else's record: a
// second look tells.
func (r *Repo) insert(ctx context.Context, c db.DBTX, params db.UsageBatchInsertParams, repeat bool) (db.UsageBatchInsertRow, error) {
	rows, err := r.queries.UsageBatchInsert(ctx, c, params)
	if err == nil && repeat && !rows[0].Written {
		rows, err = r.queries.UsageBatchInsert(ctx, c, params)
	}
	if err != nil {
		return db.UsageBatchInsertRow{}, err
	}
	return rows[0], nil
}

func batch(entries []entry) db.UsageBatchInsertParams {
	var p db.UsageBatchInsertParams
	for _, e := range entries {
		p.Ids = append(p.Ids, e.id)
		p.RequestHashes = append(p.RequestHashes, e.requestHash)
		p.OccurredAt = append(p.OccurredAt, e.Timestamp)
		p.APIKeyIds = append(p.APIKeyIds, e.key)
		p.AccountIds = append(p.AccountIds, e.account)
		p.AccountTypes = append(p.AccountTypes, e.AccountType)
		p.Models = append(p.Models, e.Model)
		p.Requests = append(p.Requests, e.RequestCount)
		p.InputTokens = append(p.InputTokens, e.InputTokens)
		p.OutputTokens = append(p.OutputTokens, e.OutputTokens)
		p.CacheCreationTokens = append(p.CacheCreationTokens, e.CacheCreationTokens)
		p.CacheReadTokens = append(p.CacheReadTokens, e.CacheReadTokens)
		p.TotalTokens = append(p.TotalTokens, e.TotalTokens)
		p.Costs = append(p.Costs, dbtype.Decimal{Decimal: e.Cost.Decimal()})
	}
	return p
}

// text gives an id as the envelopes show it; the nil id is no account.
func text(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}
