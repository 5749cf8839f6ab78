package strategy

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/db"
)

func (m *move) begin(ctx context.Context) error {
	m.tell(MovePausing)
	var n int64
	err := m.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
		n, err = m.queries.StorageMoveBegin(ctx, tx, db.StorageMoveBeginParams{
			DataType: string(m.kind), Epoch: m.from.fence, Holder: &m.holder, LeaseSeconds: m.leased().Seconds(),
		})
		return err
	})
	switch {
	case err != nil:
		m.giveUp(ctx) // it may have begun
		return err
	case n == 0:
		return errBusy
	}
	return m.Look(ctx)
}

func (m *move) leased() time.Duration { return cmp.Or(m.lease, moveLease) }

// enter takes a step in the row, too.
func (m *move) enter(ctx context.Context, step string) error {
	m.tell(step)
	return m.renew(ctx)
}

// keep renews the lease until ctx ends.
func (m *move) keep(ctx context.Context, lose context.CancelCauseFunc) {
	tick := time.NewTicker(cmp.Or(m.renewEvery, m.leased()/5))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := m.renew(ctx); errors.Is(err, errLost) {
				lose(err)
			}
		}
	}
}

func (m *move) renew(ctx context.Context) error {
	m.renewing.Lock()
	defer m.renewing.Unlock()
	var n int64
	err := m.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
		n, err = m.queries.StorageMoveRenew(ctx, tx, db.StorageMoveRenewParams{
			DataType: string(m.kind), Holder: &m.holder, Step: m.step.Load(), Done: m.done.Load(), Total: m.total.Load(), LeaseSeconds: m.leased().Seconds(),
		})
		return err
	})
	if err == nil && n == 0 {
		return errLost
	}
	return err
}

// flip is the one transaction that changes the primary. Where its outcome is unknown,
// the epoch tells.
func (m *move) flip(ctx context.Context) error {
	err := m.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) error {
		if err := m.queries.StorageStrategyLock(ctx, tx, string(m.kind)); err != nil {
			return err
		}
		_, err := m.queries.StorageMoveFlip(ctx, tx, db.StorageMoveFlipParams{
			DataType: string(m.kind), Holder: &m.holder, PrimaryStorage: string(m.to.PrimaryStorage),
		})
		if errors.Is(err, pgx.ErrNoRows) {
			return errLost
		}
		if err != nil {
			return err
		}
		return m.set(ctx, tx, m.kind, m.to)
	})
	if err != nil && m.flipped(ctx) {
		return nil
	}
	return err
}

func (m *move) flipped(ctx context.Context) bool {
	if m.Look(context.WithoutCancel(ctx)) != nil {
		return false
	}
	now := m.State(m.kind)
	return now.PrimaryStorage == m.to.PrimaryStorage && now.fence == m.from.fence+1
}

// Moves gives what is being moved now, by whichever process.
func (s *Switches) Moves(ctx context.Context) (moves []Progress, err error) {
	var rows []db.StorageMoveListRow
	err = s.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		rows, err = s.queries.StorageMoveList(ctx, c)
		return err
	})
	for _, r := range rows {
		p := Progress{DataType: DataType(r.DataType), From: Primary(r.PrimaryStorage), Step: r.Step, Done: r.Done, Total: r.Total}
		if r.BeganAt != nil && r.LeaseExpiresAt != nil {
			p.Began, p.Lapses = r.BeganAt.UTC(), r.LeaseExpiresAt.UTC()
		}
		moves = append(moves, p)
	}
	return moves, err
}
