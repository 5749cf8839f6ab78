package usage

import (
	"context"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Totals are sums of all time.
type Totals struct {
	Requests, Tokens int64
	Cost             result.Money
}

// AccountTotals gives the sums of all time of accounts, deleted ones included. Ids
// without any record or imported span are left out. It includes every record whose
// RecordUsage has returned.
func (r *Repo) AccountTotals(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]Totals, error) {
	totals := make(map[uuid.UUID]Totals, len(ids))
	if len(ids) == 0 {
		return totals, nil
	}
	if redis := r.Place.Redis(); redis != nil { // inside a transaction, too: that cannot have changed them
		return redisTotals(ctx, redis, ids)
	}
	var rows []db.UsageAccountTotalsRow
	err := r.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		rows, err = r.queries.UsageAccountTotals(ctx, c, ids)
		return err
	})
	for _, row := range rows {
		totals[row.AccountID] = Totals{Requests: row.Requests, Tokens: row.TotalTokens, Cost: result.NewMoney(row.Cost.Decimal)}
	}
	return totals, err
}
