package usage

import (
	"context"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// RecordUsage writes one record and returns when it is committed. Wrong input is
// InvalidQuery and an unknown key RecordNotFound; both name the field, and
// nothing is written. A RequestID that was recorded before is a success with
// Duplicate set, and counts nothing, whatever else the record says. A caller who
// cancels before the write starts gets Cancelled; after that the call waits for the
// commit, at most OpTimeout, and details of a failure say with outcomeUnknown if it
// may have happened. With a journal, it returns when that has the record: a
// RequestID still counts once, but Duplicate is not set.
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
	if err := ctx.Err(); err != nil {
		return result.StatusOf(err)
	}
	w := r.write(ctx, []entry{e})[0]
	return w.result().status(keyField)
}

func (o outcome) status(keyField string) result.Status {
	switch {
	case o.err != nil:
		return result.StatusOf(o.err)
	case o.unknown:
		return result.StatusOf(result.New(result.RecordNotFound, "%s: no such key", keyField).With("field", keyField))
	}
	return result.Status{Duplicate: o.duplicate}
}

// text gives an id as the envelopes show it; the nil id is no account.
func text(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}
