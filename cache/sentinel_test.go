package cache_test

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testdb"
)

// pair is a bundle whose processes ask a Sentinel for their Redis.
type pair struct {
	*bundle
	*testdb.Pair

	onSecond rueidis.Client
}

func setupPair(t *testing.T) *pair {
	t.Helper()
	p := testdb.RedisPair(t)
	return &pair{setupOn(t, p.URL, testdb.RedisAt(t, p.First.URL()), "pair:", p.Tune), p, testdb.RedisAt(t, p.Second.URL())}
}

// replicate has a process cache a record that both servers hold, the second one
// for ever.
func (p *pair) replicate(by *process, text string) {
	p.t.Helper()
	p.primary.secretly(key, text)
	p.filled(by, key, text)
	p.becomes(func() bool {
		raw, err := p.onSecond.Do(p.t.Context(), p.onSecond.B().Get().Key(by.Name(kind, key)).Build()).ToString()
		return err == nil && raw == p.raw(key)
	})
	p.Detach()
}

// through lets processes that are opened from now on reach the first server
// through a proxy.
func (p *pair) viaProxy() *faultproxy.Proxy {
	p.t.Helper()
	proxy, err := faultproxy.Start("tcp", p.First.Addr())
	require.NoError(p.t, err)
	p.t.Cleanup(proxy.Close)
	p.options.Tune = func(o *rueidis.ClientOption) {
		p.Tune(o)
		o.DialCtxFn = func(ctx context.Context, address string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
			if address == p.First.Addr() {
				address = proxy.Addr()
			}
			return d.DialContext(ctx, "tcp", address)
		}
	}
	return proxy
}

// Sentinel makes the replica master, which has not heard of the last write. The
// client asks it while its connection to the old one is not closed yet, which tells
// nothing any more.
func TestASwitchStartsClean(t *testing.T) {
	t.Parallel()
	p := setupPair(t)
	p.replicate(p.process(), "old")
	proxy := p.viaProxy()
	writer := p.process()
	p.write(writer, key, "new")
	require.Equal(t, "t", p.raw(key))

	defer p.drainer.rest()()
	closing := proxy.On(faultproxy.ToServer, "PING", faultproxy.StallBefore)
	p.FailOver()
	<-closing
	require.Equal(t, "new", p.get(writer, key))
}

// A replica gets heartbeats, too, but late: whoever is connected to one does not
// trust them.
func TestAReplicaProvesNothing(t *testing.T) {
	t.Parallel()
	p := setupPair(t)
	master := p.process()
	p.options.Tune = nil
	replica := p.open(p.Second.URL())
	beat := func() string { // "" before the first has got there
		text, _ := p.onSecond.Do(t.Context(), p.onSecond.B().Get().Key(replica.HeartbeatName()).Build()).ToString()
		return text
	}
	p.becomes(func() bool { return beat() != "" })
	for range 20 {
		before := beat()
		p.becomes(func() bool { return beat() != before })
		require.False(t, replica.Fresh(time.Now()))
	}
	require.True(t, master.Fresh(time.Now()))
	p.primary.secretly(key, "one")
	require.True(t, p.loaded(replica, key))
	require.True(t, p.loaded(replica, key))
}

// What a client's options say about replicas and connections is not for this one.
func TestNoReplicaIsAsked(t *testing.T) {
	t.Parallel()
	p := setupPair(t)
	p.options.Tune = func(o *rueidis.ClientOption) {
		p.Tune(o)
		o.SendToReplicas = func(cmd rueidis.Completed) bool { return cmd.IsReadOnly() }
	}
	writer := p.process()
	p.replicate(writer, "old")
	p.write(writer, key, "new")
	for range 10 {
		require.Equal(t, "new", p.get(writer, key))
	}
}

// Pushes are in order with replies on one connection only, however a client is
// tuned.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.options.Tune = func(o *rueidis.ClientOption) {
		o.DisableAutoPipelining, o.BlockingPipeline, o.PipelineMultiplex, o.AlwaysRESP2 = true, 1, 2, true
		o.DisableCache, o.ClientTrackingOptions = true, []string{"OPTIN"}
	}
	p := b.proxied()
	b.primary.secretly(key, "one")
	b.filled(p, key, "one")
	b.write(p, key, "two")
	b.cached(p, key, "two")
	require.Equal(t, 1, b.proxy.Accepted())
}
