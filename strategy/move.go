package strategy

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

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
var ErrForeign = result.Invalid("primaryStorage", "the new primary holds a record that the old one has not, and has never been the primary: import it first")

type move struct {
	*Switches

	kind   DataType
	from   State
	to     Config
	holder uuid.UUID
	watch  func(Progress)

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
	if lost := context.Cause(running); lost != nil && ctx.Err() == nil {
		err = lost
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

// enter takes a step in the row, too.
func (m *move) enter(ctx context.Context, step string) error {
	m.tell(step)
	return m.renew(ctx)
}

func (m *move) tell(step string) {
	if step != MoveFlipping && step != MoveFlipped { // no steps of the row's
		m.step.Store(&step)
	}
	if m.watch != nil {
		m.watch(Progress{DataType: m.kind, From: m.from.PrimaryStorage, Step: step, Done: m.done.Load(), Total: m.total.Load()})
	}
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
