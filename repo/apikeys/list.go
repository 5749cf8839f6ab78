package apikeys

import (
	"context"
	"slices"
	"strings"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	defaultPage = 50
	maxPage     = 1000
	maxOffset   = 1 << 31
)

var sortFields = []string{"createdAt", "name", "lastUsedAt", "expiresAt"}

// GetAllAPIKeys gives a page of the keys that are not deleted. Rows and total
// come from one snapshot.
func (r *Repo) GetAllAPIKeys(ctx context.Context, f Filters) result.Result[Page] {
	return result.Of(r.list(ctx, f))
}

func (r *Repo) list(ctx context.Context, f Filters) (Page, error) {
	if err := f.normalise(); err != nil {
		return Page{}, err
	}
	if s := r.redis(); s != nil {
		return s.list(ctx, f)
	}
	params := f.params()
	params.Now = r.now()
	var rows []db.APIKeyListRow
	var total int64
	err := r.Primary.Snapshot(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
		total, err = r.queries.APIKeyCount(ctx, tx, db.APIKeyCountParams{
			IsActive: params.IsActive, Now: params.Now, Permission: params.Permission, Tags: params.Tags,
		})
		if err != nil {
			return err
		}
		rows, err = r.queries.APIKeyList(ctx, tx, params)
		return err
	})
	if err != nil {
		return Page{}, err
	}
	return f.page(rows, int(total))
}

func (f Filters) params() db.APIKeyListParams {
	return db.APIKeyListParams{
		IsActive: f.IsActive, Permission: f.Permissions, Tags: list(f.Tags),
		SortBy: f.SortBy, Descending: f.SortOrder == "DESC",
		RowLimit: int32(f.Limit), RowOffset: int32(f.Offset), //nolint:gosec // normalise bounds them
	}
}

func (f Filters) page(rows []db.APIKeyListRow, total int) (Page, error) {
	p := Page{
		Keys: make([]APIKey, len(rows)), Total: total,
		Page: f.Offset/f.Limit + 1, TotalPages: (total + f.Limit - 1) / f.Limit,
	}
	for i, row := range rows {
		k, err := fromRow(row.APIKey, row.LastUsedAt)
		if err != nil {
			return Page{}, err
		}
		p.Keys[i] = k
	}
	return p, nil
}

func (f *Filters) normalise() error {
	if f.Limit == 0 {
		f.Limit = defaultPage
	}
	f.SortBy = orDefault(f.SortBy, sortFields[0])
	f.SortOrder = orDefault(f.SortOrder, "DESC")
	switch {
	case f.Limit < 1 || f.Limit > maxPage:
		return result.Invalid("limit", "must lie between 1 and %d", maxPage)
	case f.Offset < 0 || f.Offset >= maxOffset:
		return result.Invalid("offset", "must lie between 0 and %d", maxOffset-1)
	case !slices.Contains(sortFields, f.SortBy):
		return result.Invalid("sortBy", "must be one of %s", strings.Join(sortFields, ", "))
	case f.SortOrder != "ASC" && f.SortOrder != "DESC":
		return result.Invalid("sortOrder", "must be ASC or DESC")
	case f.Permissions != "" && f.Permissions != permissionAll && !slices.Contains(Platforms, f.Permissions):
		return result.Invalid("permissions", "must be all or one of %s", strings.Join(Platforms, ", "))
	case len(f.Tags) > maxList:
		return result.Invalid("tags", "more than %d entries", maxList)
	}
	for _, t := range f.Tags {
		if err := result.CheckText("tags", t, maxListText); err != nil {
			return err
		}
	}
	return nil
}
