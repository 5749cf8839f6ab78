package legacyobjects

import (
	"context"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// resealBatch bounds what is read, and sealed anew, at a time.
const resealBatch = 100

// Resealed is what Reseal has done.
type Resealed struct {
	// Objects counts those that were sealed anew.
	Objects int `json:"objects"`
	// Unopened counts those that no key of the keyset opens.
	Unopened int `json:"unopened"`
}

// Reseal seals every object anew that was not sealed by the keyset's primary key. One
// that is written meanwhile is sealed by its writer. It may be cut off at any time and
// called again. Without a keyset it is InvalidQuery.
func (r *Repo) Reseal(ctx context.Context) (done Resealed, err error) {
	if r.Sealer == nil {
		return done, errNoKeyset
	}
	for after := (name{}); ; {
		var rows []db.LegacyObjectsResealListRow
		err := r.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
			rows, err = r.queries.LegacyObjectsResealList(ctx, c, db.LegacyObjectsResealListParams{
				AfterKind: after.kind, AfterID: after.id, Prefix: r.Sealer.PrimaryPrefix(), RowLimit: resealBatch, MaxBytes: maxListBytes,
			})
			return err
		})
		if err != nil || len(rows) == 0 {
			return done, err
		}
		if err := r.reseal(ctx, rows, &done); err != nil {
			return done, err
		}
		after = name{rows[len(rows)-1].Kind, rows[len(rows)-1].ID}
	}
}

func (r *Repo) reseal(ctx context.Context, rows []db.LegacyObjectsResealListRow, done *Resealed) error {
	var next []db.LegacyObjectResealParams
	for _, row := range rows {
		data, err := r.Sealer.Open(place(row.Kind, row.ID), column, row.Data)
		if err != nil {
			done.Unopened++
			continue
		}
		sealed, err := r.Sealer.Seal(place(row.Kind, row.ID), column, data)
		if err != nil {
			return result.New(result.Internal, "an object cannot be sealed")
		}
		next = append(next, db.LegacyObjectResealParams{Kind: row.Kind, ID: row.ID, Before: row.Data, Data: sealed})
	}
	n := 0
	err := r.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) error {
		n = 0
		for _, p := range next {
			stored, err := r.queries.LegacyObjectReseal(ctx, tx, p)
			if err != nil {
				return err
			}
			n += int(stored)
		}
		return nil
	})
	done.Objects += n
	return err
}
