package usage

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seed14a526e0/relaystore/db"
)

// noPartition is the SQLSTATE of a row that no partition takes (check_violation,
// which then names no constraint).
const noPartition = "23514"

// months remembers which partitions exist, so that a record asks only once.
type months struct {
	queries *db.Queries
	ensured sync.Map // time.Time of the month's start → struct{}
}

// with runs write after making sure of the month's partition. One that was
// dropped since then is made again, once.
func (m *months) with(ctx context.Context, c db.DBTX, at time.Time, write func() error) error {
	month := monthOf(at)
	if err := m.ensure(ctx, c, month); err != nil {
		return err
	}
	err := write()
	if !withoutPartition(err) {
		return err
	}
	m.ensured.Delete(month)
	if err := m.ensure(ctx, c, month); err != nil {
		return err
	}
	return write()
}

func withoutPartition(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == noPartition && pg.ConstraintName == ""
}

func (m *months) ensure(ctx context.Context, c db.DBTX, month time.Time) error {
	if _, known := m.ensured.Load(month); known {
		return nil
	}
	if err := m.queries.UsageEnsureMonth(ctx, c, month); err != nil {
		return err
	}
	m.ensured.Store(month, struct{}{})
	return nil
}
