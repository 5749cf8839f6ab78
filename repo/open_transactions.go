package repo

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// openTransactions are those of this process. Each holds a connection, and calls
// outside need some, too: so there are only so many.
type openTransactions struct {
	limit   int
	timeout time.Duration
	slots   *semaphore.Weighted

	mu     sync.Mutex
	byID   map[uuid.UUID]*strategy.Tx // nil while it begins
	closed bool
}

func newOpenTransactions(limit int, timeout time.Duration) *openTransactions {
	return &openTransactions{limit: limit, timeout: timeout, slots: semaphore.NewWeighted(int64(limit)), byID: make(map[uuid.UUID]*strategy.Tx)}
}

// begin waits for a slot, which the transaction's end frees.
func (o *openTransactions) begin(ctx context.Context, p *strategy.Postgres, opts TxOptions) (uuid.UUID, *strategy.Tx, error) {
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.OpTimeout)
		defer cancel()
	}
	if err := o.acquire(ctx); err != nil {
		return uuid.Nil, nil, err
	}
	id := uuid.New()
	o.mu.Lock()
	o.byID[id] = nil
	o.mu.Unlock()
	tx, err := p.Begin(ctx, opts.strategy(func() { o.forget(id) }))
	if err != nil {
		o.forget(id)
		return uuid.Nil, nil, err
	}
	if !o.keep(id, tx) {
		tx.End("the client was closed")
		return uuid.Nil, nil, result.New(result.ConnectionFailed, "the client is closed")
	}
	return id, tx, nil
}

func (o *openTransactions) acquire(ctx context.Context) error {
	if o.limit < 1 {
		return result.New(result.PoolExhausted, "a transaction needs a pool of two connections at least")
	}
	err := o.slots.Acquire(ctx, 1)
	if errors.Is(err, context.DeadlineExceeded) {
		return result.New(result.PoolExhausted, "%d transactions are open, more may not be", o.limit)
	}
	return err
}

// keep makes the transaction known, where it has not ended by now.
func (o *openTransactions) keep(id uuid.UUID, tx *strategy.Tx) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, begins := o.byID[id]; begins {
		o.byID[id] = tx
	}
	return !o.closed
}

func (o *openTransactions) forget(id uuid.UUID) {
	o.mu.Lock()
	delete(o.byID, id)
	o.mu.Unlock()
	o.slots.Release(1)
}

func (o *openTransactions) find(transactionID string) (*strategy.Tx, error) {
	id, err := result.ParseID("transactionId", transactionID)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if tx := o.byID[id]; tx != nil {
		return tx, nil
	}
	return nil, result.New(result.TransactionClosed, "no such transaction is open in this process")
}

// close rolls back what is open, all at a time: a server that does not answer
// costs each one its patience.
func (o *openTransactions) close() {
	o.mu.Lock()
	o.closed = true
	open := make([]*strategy.Tx, 0, len(o.byID))
	for _, tx := range o.byID {
		if tx != nil { // else begin sees that the client is closed
			open = append(open, tx)
		}
	}
	o.mu.Unlock()
	var ending sync.WaitGroup
	for _, tx := range open {
		ending.Go(func() { tx.End("the client was closed") })
	}
	ending.Wait()
}
