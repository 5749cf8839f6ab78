package accounts

import (
	"context"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	defaultPage = 50
	maxPage     = 1000
	maxOffset   = 1 << 31
)

// AvailableFilters narrow GetAvailableAccounts.
type AvailableFilters struct {
	// Status asks for one status in place of the rule of availability.
	Status string `json:"status,omitempty"`
	// RateLimitAvailable asks for accounts that the provider gives tokens now, or,
	// false, for those that it does not.
	RateLimitAvailable *bool `json:"rateLimitAvailable,omitempty"`
	// MinTokensRemaining leaves out accounts that are known to have fewer.
	MinTokensRemaining int64 `json:"minTokensRemaining,omitempty"`
	// Platform is one of Platforms, claude where it is empty. An extension.
	Platform string `json:"platform,omitempty"`
	// Limit is how many accounts are given at most: 1 to 1,000, 0 for 1,000. An
	// extension.
	Limit int `json:"limit,omitempty"`
}

// ListFilters narrow ListAccounts; the zero value gives the 50 newest accounts.
type ListFilters struct {
	// Platform and Status ask for one; "" is any.
	Platform string `json:"platform,omitempty"`
	Status   string `json:"status,omitempty"`
	// Limit is the page's size: 1 to 1,000, 0 for 50.
	Limit int `json:"limit,omitempty"`
	// Offset is how many accounts come before the page.
	Offset int `json:"offset,omitempty"`
}

// Page is a part of a list.
type Page struct {
	Accounts []Account `json:"accounts"`
	// Total counts the accounts on all pages.
	Total int `json:"total"`
	// Page is offset / limit + 1.
	Page       int `json:"page"`
	TotalPages int `json:"totalPages"`
}

// UnmarshalJSON refuses wrong and unknown members by name.
func (f *AvailableFilters) UnmarshalJSON(data []byte) error {
	type plain AvailableFilters
	return result.DecodeStrict(data, (*plain)(f))
}

// UnmarshalJSON refuses wrong and unknown members by name.
func (f *ListFilters) UnmarshalJSON(data []byte) error {
	type plain ListFilters
	return result.DecodeStrict(data, (*plain)(f))
}

// GetAvailableAccounts gives the accounts that a scheduler may take, in the order in
// which it should: by priority (lower first), then those that were used longest ago,
// never used ones before all, ties by id. Available are schedulable accounts that are
// active, or rate_limited with their reset passed, by the clock of the call; what was
// known of a window that has passed counts no more. An empty list is a success.
func (r *Repo) GetAvailableAccounts(ctx context.Context, f AvailableFilters) result.Result[[]ClaudeAccount] {
	return result.Of(r.available(ctx, f))
}

func (r *Repo) available(ctx context.Context, f AvailableFilters) ([]ClaudeAccount, error) {
	if err := f.normalise(); err != nil {
		return nil, err
	}
	params := db.AccountAvailableParams{
		Platform: f.Platform, Status: f.Status, Now: r.now(), RateLimitAvailable: f.RateLimitAvailable,
		MinTokensRemaining: f.MinTokensRemaining, RowLimit: int32(f.Limit), //nolint:gosec // normalise bounds it
	}
	var rows []db.AccountGetRow
	err := r.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) error {
		found, err := r.queries.AccountAvailable(ctx, c, params)
		rows = shown(found)
		return err
	})
	if err != nil {
		return nil, err
	}
	all, err := r.accounts(ctx, rows, params.Now)
	if err != nil {
		return nil, err
	}
	out := make([]ClaudeAccount, len(all))
	for i := range all {
		out[i] = all[i].claude()
	}
	return out, nil
}

// ListAccounts gives a page of the accounts that are not deleted, newest first, ties
// by id. Rows and total come from one snapshot.
func (r *Repo) ListAccounts(ctx context.Context, f ListFilters) result.Result[Page] {
	return result.Of(r.list(ctx, f))
}

func (r *Repo) list(ctx context.Context, f ListFilters) (Page, error) {
	if err := f.normalise(); err != nil {
		return Page{}, err
	}
	var rows []db.AccountGetRow
	var total int64
	err := r.Primary.Snapshot(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
		if total, err = r.queries.AccountCount(ctx, tx, db.AccountCountParams{Platform: f.Platform, Status: f.Status}); err != nil {
			return err
		}
		found, err := r.queries.AccountList(ctx, tx, db.AccountListParams{
			Platform: f.Platform, Status: f.Status,
			RowLimit: int32(f.Limit), RowOffset: int32(f.Offset), //nolint:gosec // normalise bounds them
		})
		rows = shown(found)
		return err
	})
	if err != nil {
		return Page{}, err
	}
	p := Page{Total: int(total), Page: f.Offset/f.Limit + 1, TotalPages: (int(total) + f.Limit - 1) / f.Limit}
	p.Accounts, err = r.accounts(ctx, rows, r.now())
	return p, err
}

func shown[R db.AccountAvailableRow | db.AccountListRow](rows []R) []db.AccountGetRow {
	out := make([]db.AccountGetRow, len(rows))
	for i, row := range rows {
		out[i] = db.AccountGetRow(row)
	}
	return out
}

func (f *AvailableFilters) normalise() error {
	if f.Platform == "" {
		f.Platform = Claude
	}
	if f.Limit == 0 {
		f.Limit = maxPage
	}
	if f.MinTokensRemaining < 0 || f.MinTokensRemaining > maxCount {
		return result.Invalid("minTokensRemaining", "must lie between 0 and %d", maxCount)
	}
	return checkFilters(f.Platform, f.Status, f.Limit)
}

func (f *ListFilters) normalise() error {
	if f.Limit == 0 {
		f.Limit = defaultPage
	}
	if f.Offset < 0 || f.Offset >= maxOffset {
		return result.Invalid("offset", "must lie between 0 and %d", maxOffset-1)
	}
	return checkFilters(f.Platform, f.Status, f.Limit)
}

func checkFilters(platform, status string, limit int) error {
	if limit < 1 || limit > maxPage {
		return result.Invalid("limit", "must lie between 1 and %d", maxPage)
	}
	if platform != "" {
		if err := oneOf("platform", platform, Platforms); err != nil {
			return err
		}
	}
	if status == "" {
		return nil
	}
	return oneOf("status", status, Statuses)
}
