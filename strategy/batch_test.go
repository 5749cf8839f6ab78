package strategy_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
)

// narrow is a way to Redis on which no more than some bytes get through at once.
type narrow struct {
	net.Conn

	limit  int
	failed *atomic.Int64
}

func (n narrow) Write(p []byte) (int, error) {
	if len(p) > n.limit {
		n.failed.Add(1)
		_ = n.Close()
		return 0, errors.New("too much at once")
	}
	return n.Conn.Write(p)
}

// A Redis that is too slow for a batch of changes, each time, gets smaller ones: no
// change waits for ever.
func TestBatchesShrink(t *testing.T) {
	const limit = 3000 // bytes, of which a change takes about 450
	var failed atomic.Int64
	b := setupOutbox(t, func(o *cache.Options) {
		o.Tune = func(r *rueidis.ClientOption) {
			r.DialCtxFn = func(ctx context.Context, address string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
				conn, err := d.DialContext(ctx, "tcp", address)
				return narrow{conn, limit, &failed}, err
			}
		}
	})
	b.exec(`INSERT INTO api_keys (id, hashed_key, name, created_at, updated_at)
		SELECT gen_random_uuid(), sha256(n::text::bytea), 'n', now(), now() FROM generate_series(1, 100) n`)
	require.Equal(t, 100, b.waiting())
	b.drain()
	b.eventually(func() bool { return b.waiting() == 0 })
	require.Greater(t, failed.Load(), int64(2))
}
