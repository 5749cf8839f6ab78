package strategy

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// scope is a transaction, or a savepoint of one, as its calls see it.
type scope struct {
	tx     *Tx
	turn   chan struct{} // a nested scope keeps its parent's for as long as it lasts
	nested bool
	over   atomic.Bool
}

var errSavepointClosed = result.New(result.TransactionClosed, "the savepoint is closed")

// InTx tells whether this primary is inside a transaction: then nothing may be
// answered from a cache, or put into one.
func (p *Postgres) InTx() bool { return p.scope != nil }

// Outside is the primary that the transaction was begun on, or p itself. What must
// not hang on the transaction's fate goes through it, on another connection.
func (p *Postgres) Outside() *Postgres {
	if p.scope == nil {
		return p
	}
	if p.fence == nil {
		return p.scope.tx.outside
	}
	return p.scope.tx.outside.For(p.fence.kind)
}

// AfterCommit does f when what was written is committed, or may be: at once where
// p is not inside a transaction. f may run for a savepoint that was undone, and its
// ctx is never cancelled inside one.
func (p *Postgres) AfterCommit(ctx context.Context, f func(context.Context)) {
	if p.scope == nil {
		f(ctx)
		return
	}
	if t := p.scope.tx; !t.keep(f) {
		f(ctx)
	}
}

// Nested runs f on a savepoint, which is undone where f fails. Until f returns, no
// other call of p gets on; afterwards the primary that f got is TransactionClosed.
// p must be inside a transaction.
func (p *Postgres) Nested(ctx context.Context, f func(*Postgres) error) error {
	s := p.scope
	waiting, cancel := p.Bounded(ctx)
	defer cancel()
	if err := s.tx.take(waiting, s.turn); err != nil {
		return err
	}
	defer func() { <-s.turn }()
	if s.over.Load() {
		return errSavepointClosed
	}
	inner := &scope{tx: s.tx, turn: make(chan struct{}, 1), nested: true}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(s.tx.ctx, stop)()
	return inner.run(ctx, func() error {
		q := *p
		q.scope = inner
		return f(&q)
	})
}

func (s *scope) run(ctx context.Context, f func() error) (err error) {
	if err := s.tx.exec(ctx, "savepoint nested"); err != nil {
		return err
	}
	kept := false
	defer func() { // also where f panics
		s.over.Store(true)
		s.turn <- struct{}{} // the calls that run end first
		defer func() { <-s.turn }()
		if !kept {
			undoing, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
			defer cancel()
			_ = s.tx.exec(undoing, "rollback to savepoint nested; release savepoint nested")
		}
	}()
	if err := f(); err != nil {
		return err
	}
	err = s.tx.exec(ctx, "release savepoint nested")
	kept = err == nil
	return err
}

// exec is for what makes and ends scopes.
func (t *Tx) exec(ctx context.Context, sql string) error {
	return t.explain(t.use(ctx, true, func() error {
		_, err := t.pg.Exec(ctx, sql)
		return err
	}))
}

// write runs f so that it is undone as a whole where it fails, and the transaction
// can go on.
func (s *scope) write(ctx context.Context, fence *fence, f func(context.Context, db.DBTX) error) error {
	return s.do(ctx, fence.inTx(func(ctx context.Context, c db.DBTX) error {
		begin := "savepoint call"
		if fence != nil {
			begin += "; " + fence.sql(fence.epoch())
		}
		return onSavepoint(ctx, c, begin, func() error { return f(ctx, c) })
	}))
}

func onSavepoint(ctx context.Context, c db.DBTX, begin string, f func() error) error {
	kept := false
	defer func() {
		if !kept {
			undoing, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
			defer cancel()
			_, _ = c.Exec(undoing, "rollback to savepoint call; release savepoint call")
		}
	}()
	if _, err := c.Exec(ctx, begin); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	_, err := c.Exec(ctx, "release savepoint call")
	kept = err == nil
	return err
}

// do runs f on the transaction's connection when the scope's turn has come.
func (s *scope) do(ctx context.Context, f func(context.Context, db.DBTX) error) error {
	if err := s.tx.take(ctx, s.turn); err != nil {
		return err
	}
	defer func() { <-s.turn }()
	if s.over.Load() {
		return errSavepointClosed
	}
	return s.tx.explain(s.tx.use(ctx, s.nested, func() error { return f(ctx, s.tx.pg) }))
}

// use runs f while nothing else uses the connection. A call that breaks it (its
// ctx ended while a statement ran), or that fails where no savepoint leads back,
// ends the transaction.
func (t *Tx) use(ctx context.Context, leadsBack bool, f func() error) (err error) {
	if err := t.take(ctx, t.wire); err != nil {
		return err
	}
	defer func() { <-t.wire }()
	if t.conn == nil {
		return t.closed()
	}
	defer func() {
		if t.conn != nil && t.broken(leadsBack) {
			t.abort(&ending{"a statement of it failed", err})
		}
	}()
	return f()
}

func (t *Tx) broken(leadsBack bool) bool {
	conn := t.conn.Conn()
	return conn.IsClosed() || !leadsBack && conn.PgConn().TxStatus() == 'E'
}

// explain gives a call that the transaction's end broke off its true cause. Where
// it is the other way round, the error says what the call did.
func (t *Tx) explain(err error) error {
	var end *ending
	if errors.As(context.Cause(t.ctx), &end) && end.err == nil && err != nil {
		return t.closed()
	}
	return err
}

// take waits for a turn, at most until the transaction ends, which ctx does, too.
func (t *Tx) take(ctx context.Context, turn chan struct{}) error {
	err := take(ctx, turn)
	if err != nil && t.ctx.Err() != nil {
		return t.closed()
	}
	return err
}

func take(ctx context.Context, turn chan struct{}) error {
	if ctx.Err() == nil {
		select {
		case turn <- struct{}{}:
			return nil
		case <-ctx.Done():
		}
	}
	return notAcquiredError{ctx.Err()}
}
