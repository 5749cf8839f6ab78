package usage

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
)

// names looks up the names of the keys or accounts in the answer. The rows of deleted
// ones stay, and so do their names.
func (r *Repo) names(ctx context.Context, c db.DBTX, by GroupBy, cells ...[]db.UsageStatsByKeyRow) (map[uuid.UUID]string, error) {
	if by != ByAPIKey && by != ByAccount {
		return nil, nil
	}
	names := make(map[uuid.UUID]string)
	for _, some := range cells {
		for _, cell := range some {
			names[cell.GroupID] = ""
		}
	}
	ids := slices.Collect(maps.Keys(names))
	if by == ByAPIKey {
		rows, err := r.queries.APIKeyNames(ctx, c, ids)
		for _, row := range rows {
			names[row.ID] = row.Name
		}
		return names, err
	}
	rows, err := r.queries.AccountNames(ctx, c, ids)
	for _, row := range rows {
		names[row.ID] = row.Name
	}
	return names, err
}
