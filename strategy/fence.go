package strategy

import (
	"context"
	"errors"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// refusedByFence is storage_fence's SQLSTATE.
const refusedByFence = "RS001"

var (
	// ErrMoved means that a write has changed nothing, because the data type's primary is
	// the other storage by now: [Follow] goes there. Its code is ReadOnly.
	ErrMoved  = result.New(result.ReadOnly, "the data type's primary is another one now")
	errPaused = result.New(result.ReadOnly, "the data type's primary is being switched: only reads go on")
	errInTx   = result.New(result.InvalidQuery, "a transaction covers what is in PostgreSQL: the data type's primary is Redis")
)

// fence is what a data type's writes are checked against, in their own transactions.
type fence struct {
	kind     DataType
	switches *Switches
	holder   uuid.UUID // of the switch whose copy writes; else nil
}

// For gives the same primary for the repo of one data type: each write takes place only
// while PostgreSQL is that type's primary, which its own transaction checks. A pause
// is waited for, until the caller's deadline; then it is ReadOnly. Before
// Switches.Guard it is the same primary.
func (p *Postgres) For(t DataType) *Postgres {
	c := *p
	c.fence = nil
	if p.switches != nil {
		c.fence = &fence{kind: t, switches: p.switches}
	}
	return &c
}

// Unfenced is for upkeep that goes on whatever the primary is.
func (p *Postgres) Unfenced() *Postgres {
	c := *p
	c.fence = nil
	return &c
}

// sql is the statement that checks an epoch.
func (f *fence) sql(epoch int64) string {
	s := "select storage_fence('" + string(f.kind) + "', " + strconv.FormatInt(epoch, 10)
	if f.holder != uuid.Nil {
		s += ", '" + f.holder.String() + "'"
	}
	return s + ")"
}

// pass runs f at the epoch that this process follows, and again where that was over. A
// nil fence is always open.
func (f *fence) pass(ctx context.Context, write func(epoch int64) error) error {
	if f == nil {
		return write(0)
	}
	if f.holder != uuid.Nil {
		if err := write(0); !refused(err) {
			return err
		}
		return errLost
	}
	for {
		epoch, err := f.switches.await(ctx, f.kind, PrimaryPostgres)
		if err != nil {
			return err
		}
		if err = write(epoch); !refused(err) {
			return err
		}
		if f.switches.Look(ctx) != nil {
			return errPaused
		}
	}
}

func refused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == refusedByFence
}

// inTx refuses a call inside a transaction that would have to go elsewhere.
func (f *fence) inTx(call func(context.Context, db.DBTX) error) func(context.Context, db.DBTX) error {
	if f == nil || f.holder != uuid.Nil {
		return call
	}
	return func(ctx context.Context, c db.DBTX) error {
		if f.switches.State(f.kind).PrimaryStorage != PrimaryPostgres {
			return errInTx
		}
		return call(ctx, c)
	}
}

// epoch is what this process follows now.
func (f *fence) epoch() int64 {
	if f == nil {
		return 0
	}
	return f.switches.State(f.kind).fence
}

// await gives t's epoch where its primary is p and nobody moves it. It waits for a move
// to end, at most until ctx does.
func (s *Switches) await(ctx context.Context, t DataType, p Primary) (epoch int64, err error) {
	for {
		changed := *s.changed.Load() // first: what is stored later closes it
		st := s.State(t)
		switch {
		case st.Step == "" && st.PrimaryStorage == p:
			return st.fence, nil
		case st.Step == "":
			return 0, ErrMoved
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return 0, ctx.Err()
			}
			return 0, errPaused
		}
	}
}
