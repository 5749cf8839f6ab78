package repo

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

const (
	// conflictRetries is how often InTransaction runs again after a conflict: of 16
	// callers who all change one row, each round lets one through.
	conflictRetries = 15
	// conflictDelay is the mean of the first pause; each next one is twice as long,
	// up to maxConflictDelay.
	conflictDelay    = 2 * time.Millisecond
	maxConflictDelay = 200 * time.Millisecond
)

// Transactions is the contract's TransactionInterface. It is safe for concurrent
// use. A transaction covers all that its client does; calls on one client take
// turns, since a transaction has one connection.
type Transactions struct {
	client  *Client
	primary *strategy.Postgres
	open    *openTransactions
	opts    TxOptions // of the transaction that these are inside
}

// Tx is an open transaction, as BeginTransaction gives it.
type Tx struct {
	// TransactionID is what CommitTransaction and RollbackTransaction take, in the
	// same process.
	TransactionID string
	// Client works inside the transaction, reads included. Closing it rolls back.
	Client *Client
}

// MarshalJSON gives {"transactionId"}.
func (t Tx) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		TransactionID string `json:"transactionId"`
	}{t.TransactionID})
}

// BeginTransaction starts a transaction, which must be committed or rolled back
// within opts.Timeout. ctx bounds only the beginning. While MaxTransactions are
// open it waits, then gives PoolExhausted. Wrong options are InvalidQuery and name
// the field.
func (t *Transactions) BeginTransaction(ctx context.Context, opts TxOptions) (Tx, error) {
	if t.primary.InTx() {
		return Tx{}, result.New(result.InvalidQuery, "a transaction has begun already: InTransaction takes a savepoint of it")
	}
	id, client, err := t.begin(ctx, opts)
	if err != nil {
		return Tx{}, result.From(err)
	}
	return Tx{TransactionID: id.String(), Client: client}, nil
}

func (t *Transactions) begin(ctx context.Context, opts TxOptions) (uuid.UUID, *Client, error) {
	opts, err := opts.normalise(t.open.timeout)
	if err != nil {
		return uuid.Nil, nil, err
	}
	id, tx, err := t.open.begin(ctx, t.primary, opts)
	if err != nil {
		return uuid.Nil, nil, err
	}
	return id, t.client.inside(tx.Primary(), tx, opts), nil
}

// CommitTransaction makes what the transaction did last, and visible: when it has
// returned, no call of this process gets an older cached answer. Once the commit
// is sent, it waits for the answer whatever ctx says, at most OpTimeout; details
// of a failure say with outcomeUnknown if it may have happened. One that has
// ended, or is not of this process, is TransactionClosed.
func (t *Transactions) CommitTransaction(ctx context.Context, transactionID string) result.Status {
	tx, err := t.open.find(transactionID)
	if err == nil {
		err = tx.Commit(ctx)
	}
	return result.StatusOf(err)
}

// RollbackTransaction undoes the transaction. One that has ended, or is not of
// this process, is TransactionClosed.
func (t *Transactions) RollbackTransaction(ctx context.Context, transactionID string) result.Status {
	tx, err := t.open.find(transactionID)
	if err == nil {
		err = tx.Rollback(ctx)
	}
	return result.StatusOf(err)
}

// InTransaction runs f in a transaction of its own, which it commits, or rolls
// back where f fails or panics. f must use the client it gets, and may run more
// than once: a conflict with another transaction runs it again, up to 15 times, as
// long as ctx lasts. What f returns comes back as it is. On a transaction's own
// client it takes a savepoint: where f fails, only what f did is undone, and a
// conflict is for the outermost InTransaction to repeat.
func (t *Transactions) InTransaction(ctx context.Context, opts TxOptions, f func(*Client) error) error {
	if t.primary.InTx() {
		if err := t.opts.allows(opts); err != nil {
			return err
		}
		return t.primary.Nested(ctx, func(p *strategy.Postgres) error {
			return f(t.client.inside(p, t.client.tx, t.opts))
		})
	}
	for attempt := 0; ; attempt++ {
		again, err := t.once(ctx, opts, f)
		if !again || attempt == conflictRetries || !pause(ctx, attempt) {
			return err
		}
	}
}

// once tells whether another try may help.
func (t *Transactions) once(ctx context.Context, opts TxOptions, f func(*Client) error) (again bool, err error) {
	_, client, err := t.begin(ctx, opts)
	if err != nil {
		return false, result.From(err)
	}
	tx := client.tx
	defer tx.End("it was rolled back") // where f panics, too
	if err = f(client); err == nil {
		if err = tx.Commit(ctx); err == nil {
			return false, nil
		}
		err = result.From(err)
	}
	return errors.Is(err, result.TransactionConflict) || tx.Conflicted(), err
}

// pause waits for a random while, so that those who were in conflict part.
func pause(ctx context.Context, attempt int) bool {
	longest := min(2*conflictDelay<<attempt, maxConflictDelay)
	timer := time.NewTimer(rand.N(longest)) //nolint:gosec // spreads callers, keeps no secret
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// BatchOperation does up to 10,000 creates, updates and deletes in one
// transaction, all or none, and gives what each did in their order. Operations
// of one shape that follow each other become one statement. A failure names the
// operation in details.index; wrong input is InvalidQuery, names the field and
// writes nothing. On a transaction's own client it is a part of that, and opts.Timeout
// is that one's where it is 0.
func (t *Transactions) BatchOperation(ctx context.Context, operations []batch.Operation, opts TxOptions) batch.Result {
	prepared, err := batch.Prepare(t.client.domains(), operations)
	if err != nil {
		return batch.Of(nil, err)
	}
	timeout := t.open.timeout
	if t.primary.InTx() {
		timeout = t.opts.Timeout
	}
	normal, err := opts.normalise(timeout)
	if err != nil {
		return batch.Of(nil, err)
	}
	ctx, cancel := context.WithTimeout(ctx, normal.Timeout) // not OpTimeout for each statement
	defer cancel()
	var results []any
	err = t.InTransaction(ctx, opts, func(c *Client) (err error) {
		results, err = prepared.Run(ctx, c.Transactions.primary)
		return err
	})
	return batch.Of(results, err)
}
