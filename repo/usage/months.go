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

// with runs write after making sure of the batch's months. One that was dropped
// since then is made again, once.
func (m *months) with(ctx context.Context, c db.DBTX, batch []*waiting, write func() error) error {
	if err := m.ensureAll(ctx, c, batch); err != nil {
		return err
	}
	err := write()
	if !withoutPartition(err) {
		return err
	}
	for _, w := range batch {
		m.ensured.Delete(monthOf(w.Timestamp))
	}
	if err := m.ensureAll(ctx, c, batch); err != nil {
		return err
	}
	return write()
}

func (m *months) ensureAll(ctx context.Context, c db.DBTX, batch []*waiting) error {
	var last time.Time
	for _, w := range batch {
		month := monthOf(w.Timestamp)
		if month.Equal(last) {
			continue // most of a batch is of one month
		}
		if err := m.ensure(ctx, c, month); err != nil {
			return err
		}
		last = month
	}
	return nil
}

func monthOf(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC) }

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
