package repo

import (
	"context"
	"errors"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// closeGrace is how long Close listens, after its deadline, for what is not written.
const closeGrace = 250 * time.Millisecond

// Close rolls open transactions back, writes what is still in memory, drains the
// journals, ends the background work and closes the connections. What is not written
// by ctx's deadline is an error with its number in details.remaining; under
// write_behind, it stays in the journals for other processes. Past ctx's deadline it
// stops waiting for calls that are still running and says so. A second Close gives
// what the first one gave. Close of a transaction's own client rolls that back, where
// it is still open.
func (c *Client) Close(ctx context.Context) error {
	if c.tx != nil {
		c.tx.End("its client was closed")
		return nil
	}
	c.close.Do(func() {
		written, released := make(chan error, 1), make(chan struct{})
		go func() {
			c.Transactions.open.close()
			c.outbox.Close()
			c.switches.Close()
			written <- errors.Join(c.APIKeys.Close(ctx), c.Usage.Close(ctx), c.Accounts.Close(ctx), c.touches.Close(ctx))
			c.Monitoring.Close(ctx) // last, so that it stores what the others' took
			c.release()
			close(released)
		}()
		c.closeErr = writtenBy(ctx, written)
		select {
		case <-released:
		case <-ctx.Done():
			if n := c.pool.Stat().AcquiredConns(); n > 0 || c.closeErr == nil {
				c.closeErr = errors.Join(c.closeErr, result.New(result.QueryTimeout, "the deadline of Close passed with %d database connections still in use", n))
			}
		}
	})
	return c.closeErr
}

// writtenBy waits until ctx ends, and then a moment to hear what is not written.
func writtenBy(ctx context.Context, written <-chan error) error {
	select {
	case err := <-written:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-written:
		return err
	case <-time.After(closeGrace):
		return nil
	}
}

// release closes the connections, when the calls that hold them have ended.
func (c *Client) release() {
	c.cache.Close()
	if c.switches != nil {
		c.switches.Redis.Close()
	}
	if c.pool != nil && c.ownsPool {
		c.pool.Close()
	}
}
