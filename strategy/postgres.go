package strategy

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/dbtype"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Postgres is the primary as the repos see it. Each call takes one connection
// for as long as it needs, within the caller's deadline or OpTimeout.
type Postgres struct {
	// Pool is where connections come from.
	Pool *pgxpool.Pool
	// Retry decides about failed calls; the zero value never repeats.
	Retry RetryPolicy
	// OpTimeout bounds a call whose context has no deadline, all its retries
	// together, and a commit that the caller no longer waits for.
	OpTimeout time.Duration
	// Meter counts the connections' use and the calls that failed; nil counts none.
	Meter *Meter
	// Waiting counts the calls that wait for a connection; nil counts none.
	Waiting *atomic.Int64

	scope    *scope // of the transaction that this primary is inside, or nil
	fence    *fence // of the data type that this primary is for, or nil
	switches *Switches
}

// Conns is how many connections there are at most.
func (p *Postgres) Conns() int { return int(p.Pool.Config().MaxConns) }

// Retrying gives the same primary with at most n retries; inside a transaction
// there are none.
func (p *Postgres) Retrying(n int) *Postgres {
	c := *p
	c.Retry.MaxRetries = n
	return &c
}

// Read runs f, which must only read, and repeats it where that may help.
func (p *Postgres) Read(ctx context.Context, f func(context.Context, db.DBTX) error) error {
	ctx, cancel := p.Bounded(ctx)
	defer cancel()
	if p.scope != nil {
		return p.Meter.outcome(p.scope.do(ctx, p.fence.inTx(f)))
	}
	return p.Meter.outcome(p.Retry.Do(ctx, func() error {
		return p.with(ctx, func(c *pgxpool.Conn) error { return f(ctx, c) })
	}, always))
}

// beginSnapshot has settings in the round trip that begins. A snapshot's plans look dear
// where a partition has not been analyzed yet, and compiling them takes ten times as
// long as running them (figures of 80 ms).
const beginSnapshot = "begin isolation level repeatable read read only; set local jit = off; set local idle_in_transaction_session_timeout = '10s'"

// Snapshot is Read for several queries that must see one state of the database.
func (p *Postgres) Snapshot(ctx context.Context, f func(context.Context, db.DBTX) error) error {
	ctx, cancel := p.Bounded(ctx)
	defer cancel()
	if p.scope != nil {
		return p.Meter.outcome(p.scope.do(ctx, p.fence.inTx(f)))
	}
	return p.Meter.outcome(p.Retry.Do(ctx, func() error {
		return p.with(ctx, func(c *pgxpool.Conn) error {
			return pgx.BeginTxFunc(ctx, c, pgx.TxOptions{BeginQuery: beginSnapshot}, func(tx pgx.Tx) error { return f(ctx, tx) })
		})
	}, always))
}

// Write runs f in one transaction. It is repeated only after a failure that has
// changed nothing; a commit whose outcome is unknown is an error with
// details.outcomeUnknown.
func (p *Postgres) Write(ctx context.Context, f func(context.Context, db.DBTX) error) error {
	ctx, cancel := p.Bounded(ctx)
	defer cancel()
	if p.scope != nil {
		return p.Meter.outcome(p.scope.write(ctx, p.fence, f))
	}
	var committing bool
	err := p.fence.pass(ctx, func(epoch int64) error {
		return p.Retry.Do(ctx, func() error {
			committing = false
			return p.with(ctx, func(c *pgxpool.Conn) error {
				return pgx.BeginTxFunc(ctx, c, p.begin(epoch), func(tx pgx.Tx) error {
					err := f(ctx, tx)
					committing = err == nil
					return err
				})
			})
		}, func(err error) bool { return !committing || changedNothing(err) })
	})
	_ = p.Meter.outcome(err)
	if err != nil && committing && !changedNothing(err) {
		return outcomeUnknown(err)
	}
	return err
}

// begin has the fence, if there is one, checked in the round trip that begins. The
// server ends such a transaction whose process stands still: a move waits for it.
func (p *Postgres) begin(epoch int64) pgx.TxOptions {
	if p.fence == nil {
		return pgx.TxOptions{}
	}
	idle := strconv.FormatInt(p.OpTimeout.Milliseconds(), 10)
	return pgx.TxOptions{BeginQuery: "begin; set local idle_in_transaction_session_timeout = " + idle + "; " + p.fence.sql(epoch)}
}

// Append runs f, one statement that does no harm when it runs twice. A caller
// who cancels before it starts gets Cancelled and nothing is written; after
// that the call waits for the commit, at most OpTimeout, and tells the truth.
func (p *Postgres) Append(ctx context.Context, f func(context.Context, db.DBTX) error) error {
	return p.append(ctx, func(ctx context.Context, c *pgxpool.Conn, epoch int64) error {
		if p.fence == nil {
			return f(ctx, c)
		}
		return pgx.BeginTxFunc(ctx, c, p.begin(epoch), func(tx pgx.Tx) error { return f(ctx, tx) })
	}, f)
}

// AppendAt is Append for a statement that calls storage_fence itself, with the epoch
// that it is given: that costs no round trip.
func (p *Postgres) AppendAt(ctx context.Context, f func(ctx context.Context, c db.DBTX, epoch int64) error) error {
	return p.append(ctx, func(ctx context.Context, c *pgxpool.Conn, epoch int64) error { return f(ctx, c, epoch) },
		func(ctx context.Context, c db.DBTX) error { return f(ctx, c, p.Epoch()) })
}

// Epoch is what this process follows, for a statement inside a transaction that calls
// storage_fence; 0 where nothing is fenced.
func (p *Postgres) Epoch() int64 { return p.fence.epoch() }

func (p *Postgres) append(ctx context.Context, f func(context.Context, *pgxpool.Conn, int64) error, inside func(context.Context, db.DBTX) error) error {
	ctx, cancel := p.Bounded(ctx)
	defer cancel()
	if p.scope != nil {
		return p.Meter.outcome(p.scope.write(ctx, p.fence, inside))
	}
	unknown := false
	err := p.fence.pass(ctx, func(epoch int64) error {
		return p.Retry.Do(ctx, func() error {
			err := p.with(ctx, func(c *pgxpool.Conn) error {
				running, stop := context.WithTimeout(context.WithoutCancel(ctx), p.OpTimeout)
				defer stop()
				return f(running, c, epoch)
			})
			unknown = unknown || err != nil && !changedNothing(err)
			return err
		}, always)
	})
	_ = p.Meter.outcome(err)
	if err != nil && unknown {
		return outcomeUnknown(err)
	}
	return err
}

func always(error) bool { return true }

// Bounded gives ctx the deadline OpTimeout where it has none, and inside a
// transaction the transaction's end, too.
func (p *Postgres) Bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	var cancel context.CancelFunc
	if _, has := ctx.Deadline(); has {
		ctx, cancel = context.WithCancel(ctx)
	} else {
		ctx, cancel = context.WithTimeout(ctx, p.OpTimeout)
	}
	if p.scope == nil {
		return ctx, cancel
	}
	stop := context.AfterFunc(p.scope.tx.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

func (p *Postgres) with(ctx context.Context, f func(*pgxpool.Conn) error) error {
	conn, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	defer p.release(conn)
	dbtype.Register(conn.Conn().TypeMap())
	return f(conn)
}

func (p *Postgres) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	if p.scope != nil { // a way of calling that transactions do not know must not work beside them
		return nil, result.New(result.InvalidQuery, "this call does not work inside a transaction")
	}
	if err := ctx.Err(); err != nil {
		return nil, notAcquiredError{err}
	}
	began := p.Meter.acquiring()
	if p.Waiting != nil {
		p.Waiting.Add(1)
		defer p.Waiting.Add(-1)
	}
	conn, err := p.Pool.Acquire(ctx)
	p.Meter.acquired(began, err)
	if err != nil {
		return nil, notAcquiredError{p.acquireError(ctx, err)}
	}
	return conn, nil
}

// release gives an acquired connection back.
func (p *Postgres) release(conn *pgxpool.Conn) {
	conn.Release()
	p.Meter.released()
}

// acquireError tells a full pool from a server that does not answer: both show
// as a passed deadline. A pool that is being closed cancels its connects: that is not
// the caller's doing.
func (p *Postgres) acquireError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() == nil && errors.Is(err, context.Canceled):
		return result.ConnectionFailed
	case !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return err
	}
	stat := p.Pool.Stat()
	if stat.AcquiredConns() >= stat.MaxConns() {
		return result.PoolExhausted
	}
	return result.ConnectionTimeout
}

// notAcquiredError marks a failure before anything was sent.
type notAcquiredError struct{ error }

// Unwrap gives what went wrong.
func (e notAcquiredError) Unwrap() error { return e.error }

// changedNothing holds for failures that the server itself reported (it has
// rolled back), and for those before anything reached it. Two look like these
// and are not: a pooler reports a lost server in the server's place (08P01,
// "server conn crashed"), and pgx 5.12 calls ErrConnClosed safe to retry also
// where the connection broke after the statement was sent.
func changedNothing(err error) bool {
	var pg *pgconn.PgError
	var never notAcquiredError
	switch {
	case errors.As(err, &never):
		return true
	case errors.As(err, &pg):
		return result.From(err).Code != result.ConnectionFailed
	}
	return errors.Is(err, pgx.ErrTxCommitRollback) || pgconn.SafeToRetry(err) && !errors.Is(err, pgconn.ErrConnClosed)
}

// outcomeUnknown marks an error after which the write may have happened.
func outcomeUnknown(err error) error { return result.From(err).With("outcomeUnknown", true) }
