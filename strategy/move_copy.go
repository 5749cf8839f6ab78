package strategy

import (
	"context"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// copies tells whether there is anything to copy. A type without a mover is moved only
// where there is not; what the new primary holds is taken as it is then.
func (m *move) copies(ctx context.Context) (bool, error) {
	holds, err := m.holds(ctx)
	switch {
	case err != nil || !holds:
		return false, err
	case m.Movers[m.kind] == nil:
		return false, result.Invalid("primaryStorage", "%s holds %s data, which this version does not copy: only an empty one is left", m.from.PrimaryStorage, m.kind)
	}
	return true, nil
}

func (m *move) holds(ctx context.Context) (holds bool, err error) {
	if m.from.PrimaryStorage == PrimaryRedis {
		return m.Redis.holds(ctx, m.kind)
	}
	err = m.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		holds, err = m.queries.StorageHolds(ctx, c, string(m.kind))
		return err
	})
	return holds, err
}

func (m *move) copy(ctx context.Context) error {
	if err := m.enter(ctx, MoveCopying); err != nil {
		return err
	}
	mover := m.Movers[m.kind]
	if m.to.PrimaryStorage == PrimaryRedis {
		return mover.ToRedis(ctx, m.hands())
	}
	return mover.ToPostgres(ctx, m.hands())
}

func (m *move) hands() Move {
	p := *m.Primary
	p.fence = &fence{kind: m.kind, switches: m.Switches, holder: m.holder}
	return Move{Postgres: &p, Redis: m.Redis.copying(m.token()), To: m.to.PrimaryStorage, First: m.from.fence == 0, Progress: func(done, total int64) {
		m.done.Store(done)
		m.total.Store(total)
		m.tell(MoveCopying)
	}}
}

func (m *move) compare(ctx context.Context) error {
	differ, err := m.Movers[m.kind].Compare(ctx, m.hands())
	if err == nil && differ > 0 {
		err = result.New(result.Internal, "the copy differs in %d records: the primary stays", differ)
	}
	return err
}
