package accounts

import (
	"context"
	"time"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// GetAvailableAccounts gives the accounts that a scheduler may take, in the order in
// which it should: by priority (lower first), then those that were used longest ago,
// never used ones before all, ties by id. Available are schedulable accounts that are
// active, or rate_limited with their reset passed, by the clock of the call; what was
// known of a window that has passed counts no more. An empty list is a success. Under
// write_behind, statuses and last uses may lag.
func (r *Repo) GetAvailableAccounts(ctx context.Context, f AvailableFilters) result.Result[[]ClaudeAccount] {
	return result.Of(r.available(ctx, f))
}

func (r *Repo) available(ctx context.Context, f AvailableFilters) ([]ClaudeAccount, error) {
	if err := f.normalise(); err != nil {
		return nil, err
	}
	now := r.now()
	rows, err := r.availableRows(ctx, &f, now)
	if err != nil {
		return nil, err
	}
	all, err := r.accounts(ctx, rows, now)
	if err != nil {
		return nil, err
	}
	out := make([]ClaudeAccount, len(all))
	for i := range all {
		out[i] = all[i].claude()
	}
	return out, nil
}

func (r *Repo) availableRows(ctx context.Context, f *AvailableFilters, now time.Time) (rows []db.AccountGetRow, err error) {
	switch l, err := r.onRedis(); {
	case err != nil:
		return nil, err
	case l != nil:
		return l.available(ctx, f, now)
	}
	params := db.AccountAvailableParams{
		Platform: f.Platform, Status: f.Status, Now: now, RateLimitAvailable: f.RateLimitAvailable,
		MinTokensRemaining: f.MinTokensRemaining, RowLimit: int32(f.Limit), //nolint:gosec // normalise bounds it
	}
	err = r.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) error {
		found, err := r.queries.AccountAvailable(ctx, c, params)
		rows = shown(found)
		return err
	})
	return rows, err
}

// ListAccounts gives a page of the accounts that are not deleted, newest first, ties
// by id. Rows and total come from one snapshot. Statuses may lag as GetAccount's.
func (r *Repo) ListAccounts(ctx context.Context, f ListFilters) result.Result[Page] {
	return result.Of(r.list(ctx, f))
}

func (r *Repo) list(ctx context.Context, f ListFilters) (Page, error) {
	if err := f.normalise(); err != nil {
		return Page{}, err
	}
	rows, total, err := r.listRows(ctx, &f)
	if err != nil {
		return Page{}, err
	}
	p := Page{Total: total, Page: f.Offset/f.Limit + 1, TotalPages: (total + f.Limit - 1) / f.Limit}
	p.Accounts, err = r.accounts(ctx, rows, r.now())
	return p, err
}

func (r *Repo) listRows(ctx context.Context, f *ListFilters) (rows []db.AccountGetRow, total int, err error) {
	switch l, err := r.onRedis(); {
	case err != nil:
		return nil, 0, err
	case l != nil:
		return l.list(ctx, f)
	}
	err = r.Primary.Snapshot(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
		n, err := r.queries.AccountCount(ctx, tx, db.AccountCountParams{Platform: f.Platform, Status: f.Status})
		if err != nil {
			return err
		}
		total = int(n)
		found, err := r.queries.AccountList(ctx, tx, db.AccountListParams{
			Platform: f.Platform, Status: f.Status,
			RowLimit: int32(f.Limit), RowOffset: int32(f.Offset), //nolint:gosec // normalise bounds them
		})
		rows = shown(found)
		return err
	})
	return rows, total, err
}

func shown[R db.AccountAvailableRow | db.AccountListRow](rows []R) []db.AccountGetRow {
	out := make([]db.AccountGetRow, len(rows))
	for i, row := range rows {
		out[i] = db.AccountGetRow(row)
	}
	return out
}
