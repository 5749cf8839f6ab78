package legacyobjects_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/legacyobjects"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// A server that says nothing is waited for no longer than by any other call.
func TestAloneBehindASilentServer(t *testing.T) {
	t.Parallel()
	proxy, url := faultproxy.Postgres(t, testdb.URL(t))
	p := &strategy.Postgres{Pool: testdb.Pool(t, url), OpTimeout: 300 * time.Millisecond}
	proxy.On(faultproxy.ToServer, "pg_try_advisory_xact_lock", faultproxy.StallBefore)
	failed := make(chan error, 1)
	go func() {
		_, err := legacyobjects.New(legacyobjects.Config{Primary: p}).Alone(t.Context())
		failed <- err
	}()
	select {
	case err := <-failed:
		require.ErrorIs(t, err, result.QueryTimeout)
	case <-time.After(30 * time.Second):
		require.Fail(t, "it still waits")
	}
	proxy.Cut() // a stalled connection would hold up the pool's end
}
