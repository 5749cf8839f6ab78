package touches

import (
	"context"

	"github.com/seed14a526e0/relaystore/strategy"
)

// mover lets what waits in the journal be stored before the writers wait, so that the copy
// has it: on the way back to the legacy service, nobody may be left to flush it. What comes
// after that is stored when the move has ended, at the new primary.
type mover struct {
	strategy.Mover

	journal *Journal
}

var _ strategy.Preparer = mover{}

// Mover gives m, and before that drains the journal where there is one.
func (j *Journal) Mover(m strategy.Mover) strategy.Mover {
	if j == nil {
		return m
	}
	return mover{m, j}
}

// Prepare drains the journal.
func (m mover) Prepare(ctx context.Context, to strategy.Primary) error {
	if p, has := m.Mover.(strategy.Preparer); has {
		if err := p.Prepare(ctx, to); err != nil {
			return err
		}
	}
	return m.journal.Drain(ctx)
}
