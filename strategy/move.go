package strategy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Mover copies a data type between the primaries while nobody else writes it: each
// write of the copy is refused once the move has ended. A copy may begin anew on what
// an earlier one has left.
type Mover interface {
	// ToRedis makes Redis hold what PostgreSQL holds, ToPostgres the other way round.
	// What only the target holds must not outlive what was deleted at the source.
	ToRedis(ctx context.Context, m Move) error
	ToPostgres(ctx context.Context, m Move) error
	// Compare reads both anew and counts the records that differ, or that one has not;
	// sums count as records.
	Compare(ctx context.Context, m Move) (differ int64, err error)
}

// Preparer is a Mover that waits for something before the writers do, or refuses.
type Preparer interface {
	Prepare(ctx context.Context, to Primary) error
}

// Move is what a Mover works with.
type Move struct {
	Postgres *Postgres
	Redis    *Redis
	// To is the primary that is copied to.
	To Primary
	// First tells that it has never been the data type's primary: a record that only it
	// holds is somebody else's, and stops the move (ErrForeign).
	First bool
	// Progress takes how many records are copied, and how many there are; 0 is unknown.
	Progress func(done, total int64)
}

// Steps of a move. Until MoveFlipped the old primary stays the primary, whatever happens.
const (
	MovePausing   = "pausing"
	MoveCopying   = "copying"
	MoveVerifying = "verifying"
	MoveFlipping  = "flipping"
	MoveFlipped   = "flipped"
)

// Progress is how far a move is.
type Progress struct {
	DataType DataType  `json:"dataType"`
	From     Primary   `json:"from"`
	Step     string    `json:"step"`
	Done     int64     `json:"done"`
	Total    int64     `json:"total,omitempty"`
	Began    time.Time `json:"began,omitzero"`
	// Lapses is when the move is given up, unless its process goes on.
	Lapses time.Time `json:"lapses,omitzero"`
}

const (
	// moveLease is how long a move outlives its process: writers wait as long.
	moveLease = 10 * time.Second
	// drainPatience is how long a move waits for transactions that write.
	drainPatience = 30 * time.Second
	emptiedEvery  = 10 * time.Millisecond
)

var (
	errLost    = result.New(result.TransactionConflict, "the move was given up: its lease ran out; run it again")
	errBusy    = result.New(result.ReadOnly, "the data type's primary is being moved already")
	errUndrain = result.New(result.QueryTimeout, "transactions that write the data type did not end within %s", drainPatience)
)

// ErrForeign refuses to delete at the new primary what was never this deployment's.
var ErrForeign = result.Invalid("primaryStorage", "the new primary holds a record that the old one has not, and has never been the primary: import it first, or delete it there")

type move struct {
	*Switches

	kind   DataType
	from   State
	to     Config
	holder uuid.UUID
	watch  func(Progress)

	renewing    sync.Mutex // else a step could be followed by the one before
	step        atomic.Pointer[string]
	done, total atomic.Int64 // of the copy
}

// Move makes the other storage a data type's primary: its writers wait in all
// processes while the records are copied and compared. Reads go on. A failure, or the
// death of the process at any step, leaves the old primary in charge, or the new one,
// and Move can run again. watch, which may be nil, is told of each step before it is
// taken, and of the copy's progress. ctx alone bounds it.
func (s *Switches) Move(ctx context.Context, t DataType, c Config, watch func(Progress)) SwitchResult {
	if err := s.check(t, c); err != nil {
		return s.failed(t, err)
	}
	if err := s.Look(ctx); err != nil {
		return s.failed(t, err)
	}
	if s.Redis == nil {
		return s.failed(t, result.Invalid("primaryStorage", "this process has no Redis that can be a primary: set REDIS_URL"))
	}
	m := &move{Switches: s, kind: t, from: s.State(t), to: c, holder: uuid.New(), watch: watch}
	if m.from.PrimaryStorage == c.PrimaryStorage {
		return s.Switch(ctx, t, c)
	}
	if err := m.run(ctx); err != nil {
		return s.failed(t, err)
	}
	return SwitchResult{Previous: m.from.Config, Epoch: s.State(t).Epoch}
}

func (m *move) run(ctx context.Context) (err error) {
	if p, has := m.Movers[m.kind].(Preparer); has {
		if err := p.Prepare(ctx, m.to.PrimaryStorage); err != nil {
			return err
		}
	}
	if err := m.begin(ctx); err != nil {
		return err
	}
	running, cancel := context.WithCancelCause(ctx)
	renewed := make(chan struct{})
	go func() { defer close(renewed); m.keep(running, cancel) }()
	err = m.through(running)
	if lost := context.Cause(running); err != nil && lost != nil && ctx.Err() == nil {
		err = lost // a renewal behind the flip finds no lease either
	}
	cancel(nil)
	<-renewed
	if err != nil {
		m.giveUp(ctx)
		return err
	}
	m.tell(MoveFlipped)
	_ = m.open(ctx) // else the first writer does
	return m.Look(ctx)
}

// through takes the steps up to the flip.
func (m *move) through(ctx context.Context) error {
	if err := m.pause(ctx); err != nil {
		return err
	}
	copies, err := m.copies(ctx)
	if err != nil {
		return err
	}
	seen := &witness{}
	defer seen.close()
	if m.to.PrimaryStorage == PrimaryPostgres {
		if err := seen.begin(ctx, m.Redis, m.kind); err != nil {
			return err
		}
	}
	if copies {
		if err := m.copy(ctx); err != nil {
			return err
		}
	}
	if m.to.PrimaryStorage == PrimaryRedis {
		if err := seen.begin(ctx, m.Redis, m.kind); err != nil {
			return err
		}
	}
	if err := m.enter(ctx, MoveVerifying); err != nil {
		return err
	}
	if copies {
		if err := m.compare(ctx); err != nil {
			return err
		}
	}
	m.tell(MoveFlipping)
	if err := seen.check(ctx); err != nil {
		return err
	}
	return m.flip(ctx)
}

// pause is done when nobody writes any more.
func (m *move) pause(ctx context.Context) error {
	if m.from.PrimaryStorage == PrimaryPostgres {
		if err := m.drain(ctx); err != nil {
			return err
		}
	}
	return m.Redis.hold(ctx, m.kind, m.token())
}

func (m *move) token() string { return "held " + m.holder.String() }

// drain waits for the transactions that have passed the fence, without a place in the
// lock's queue: behind that, those that only find out that they have to wait would hang.
func (m *move) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, drainPatience, errUndrain)
	defer cancel()
	for {
		drained := false
		err := m.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
			drained, err = m.queries.StorageMoveDrained(ctx, c, string(m.kind))
			return err
		})
		if drained && err == nil {
			return nil
		}
		if err == nil && !sleep(ctx, emptiedEvery) {
			<-ctx.Done()
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
}

func (m *move) tell(step string) {
	if step != MoveFlipping && step != MoveFlipped { // no steps of the row's
		m.step.Store(&step)
	}
	if m.watch != nil {
		m.watch(Progress{DataType: m.kind, From: m.from.PrimaryStorage, Step: step, Done: m.done.Load(), Total: m.total.Load()})
	}
}

// giveUp leaves the old primary in charge.
func (m *move) giveUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.Primary.OpTimeout)
	defer cancel()
	_ = m.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) error {
		return m.queries.StorageMoveEnd(ctx, tx, db.StorageMoveEndParams{DataType: string(m.kind), Holder: &m.holder})
	}) // else the lease runs out
	_ = m.open(ctx)
}

// open lets the writers of a Redis primary on, where nobody else has done that.
func (m *move) open(ctx context.Context) error {
	if err := m.Look(ctx); err != nil {
		return err
	}
	return m.Redis.repair(ctx, m.kind, m.token())
}
