package strategy

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// undoTime bounds a rollback: a server that does not answer gets its connection
// closed instead, which rolls back, too.
const undoTime = time.Second

// TxOptions say what a transaction is.
type TxOptions struct {
	// Serializable is the isolation level; else it is READ COMMITTED.
	Serializable bool
	ReadOnly     bool
	// Timeout is how long the transaction may take as a whole; it must be positive.
	Timeout time.Duration
	// Ended is called once, when the connection is free again; it may be nil.
	Ended func()
}

// Tx is an open transaction. It has one connection, which calls take in turn, and
// ends by itself when its time is up. It is safe for concurrent use.
type Tx struct {
	outside *Postgres
	root    *scope
	ended   func()
	timer   *time.Timer

	ctx context.Context // ends with the transaction; its cause says why
	end context.CancelCauseFunc

	wire chan struct{} // who has put something in may use conn and pg
	conn *pgxpool.Conn // nil when it is given back
	pg   pgx.Tx
	done atomic.Bool // committed, or perhaps; sent says which
	sent string

	mu        sync.Mutex
	committed []func(context.Context)
	settled   bool // committed does not grow any more
}

// What a commit that was sent makes a transaction.
const (
	committed    = "it was committed"
	notCommitted = "its commit failed"
	perhaps      = "its commit was sent, and the answer did not come"
)

// ending is why a transaction is closed.
type ending struct {
	why string
	err error // what broke it, or nil
}

func (e *ending) Error() string { return e.why }

func (e *ending) Unwrap() error { return e.err }

// Begin starts a transaction. ctx bounds the beginning only.
func (p *Postgres) Begin(ctx context.Context, opts TxOptions) (*Tx, error) {
	ctx, cancel := p.Bounded(ctx)
	defer cancel()
	t := &Tx{outside: p, ended: opts.Ended, wire: make(chan struct{}, 1)}
	t.wire <- struct{}{}
	defer func() { <-t.wire }()
	err := p.Retry.Do(ctx, func() error { return t.begin(ctx, opts) }, always)
	if err != nil {
		return nil, err
	}
	t.root = &scope{tx: t, turn: make(chan struct{}, 1)}
	t.ctx, t.end = context.WithCancelCause(context.Background())
	t.timer = time.AfterFunc(opts.Timeout, func() { t.End("its time was up") })
	return t, nil
}

func (t *Tx) begin(ctx context.Context, opts TxOptions) (err error) {
	conn, err := t.outside.acquire(ctx)
	if err != nil {
		return err
	}
	if t.pg, err = conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: opts.begin()}); err != nil {
		t.outside.release(conn)
		return err
	}
	t.conn = conn
	return nil
}

// ownerCheck is how often the server looks whether the owner of a statement that runs,
// or waits for a lock, is still there.
const ownerCheck = 300 * time.Millisecond

// begin also has the server end a transaction whose process stands still, or is gone
// while a statement runs: its locks must not outlast it. It compiles no plans: figures
// would take ten times as long.
func (o TxOptions) begin() string {
	level, mode := "read committed", "read write"
	if o.Serializable {
		level = "serializable"
	}
	if o.ReadOnly {
		mode = "read only"
	}
	idle := (o.Timeout + undoTime).Milliseconds()
	return "begin isolation level " + level + " " + mode +
		"; set local jit = off; set local idle_in_transaction_session_timeout = " + strconv.FormatInt(idle, 10) +
		"; set local client_connection_check_interval = " + strconv.FormatInt(ownerCheck.Milliseconds(), 10)
}

// Primary is the primary as repos see it inside the transaction.
func (t *Tx) Primary() *Postgres {
	p := *t.outside
	p.scope, p.fence = t.root, nil
	return &p
}

// Commit ends the transaction and then does what AfterCommit was told. A ctx that
// has ended commits nothing; once the commit is sent, Commit waits for the answer,
// at most OpTimeout. Without one, the error has details.outcomeUnknown. One that
// is closed is TransactionClosed.
func (t *Tx) Commit(ctx context.Context) error {
	bounded, cancel := t.Primary().Bounded(ctx)
	defer cancel()
	if err := t.take(bounded, t.root.turn); err != nil {
		return err
	}
	defer func() { <-t.root.turn }()
	unknown := false
	err := t.use(bounded, false, func() error {
		committing, stop := context.WithTimeout(context.WithoutCancel(ctx), t.outside.OpTimeout)
		defer stop()
		err := t.pg.Commit(committing)
		unknown = err != nil && !changedNothing(err)
		switch {
		case err == nil:
			t.sent = committed
		case unknown:
			t.sent = perhaps
		default:
			t.sent = notCommitted
		}
		t.done.Store(err == nil || unknown)
		t.abort(&ending{t.sent, err})
		return err
	})
	if t.done.Load() {
		t.afterCommit(context.WithoutCancel(ctx))
	}
	if unknown {
		return outcomeUnknown(err)
	}
	return err
}

// Rollback undoes the transaction, when the call that uses its connection has
// ended; where ctx ends before that, the call is broken off. One that is closed is
// TransactionClosed.
func (t *Tx) Rollback(ctx context.Context) error {
	mine := &ending{why: "it was rolled back"}
	if take(ctx, t.wire) != nil {
		t.end(mine)
		t.wire <- struct{}{}
	}
	defer func() { <-t.wire }()
	t.abort(mine)
	if t.done.Load() || context.Cause(t.ctx) != error(mine) { //nolint:errorlint // this very one
		return t.closed()
	}
	return nil
}

// End rolls back at once: a call that runs is broken off. It does nothing where
// the transaction is closed, and lets a commit finish that has been sent.
func (t *Tx) End(why string) {
	end := &ending{why: why}
	t.end(end)
	t.wire <- struct{}{}
	defer func() { <-t.wire }()
	t.abort(end)
}

// abort gives the connection back, rolled back where it is not committed. The
// caller holds the wire.
func (t *Tx) abort(why *ending) {
	t.end(why)
	if t.conn == nil {
		return
	}
	t.timer.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), undoTime)
	defer cancel()
	_ = t.pg.Rollback(ctx) // one that fails closes the connection
	t.outside.release(t.conn)
	t.conn = nil
	if t.ended != nil {
		t.ended()
	}
}

// Conflicted tells whether the transaction has ended because it was in conflict
// with another one.
func (t *Tx) Conflicted() bool {
	cause := context.Cause(t.ctx)
	return cause != nil && errors.Is(result.From(cause), result.TransactionConflict)
}

func (t *Tx) closed() error {
	why := context.Cause(t.ctx).Error()
	if t.done.Load() {
		why = t.sent // whoever wanted to end it came too late
	}
	return result.New(result.TransactionClosed, "the transaction is closed: %s", why)
}

// keep has f done after the commit, or tells that it is too late for that.
func (t *Tx) keep(f func(context.Context)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.settled {
		return false
	}
	t.committed = append(t.committed, f)
	return true
}

func (t *Tx) afterCommit(ctx context.Context) {
	t.mu.Lock()
	t.settled = true
	t.mu.Unlock()
	for _, f := range t.committed {
		f(ctx)
	}
}
