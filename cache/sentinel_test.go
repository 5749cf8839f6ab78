package cache_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
)

// pair is a master, its replica and the Sentinel that its bundle's processes ask.
type pair struct {
	*bundle

	first, second     *devstack.Redis
	onFirst, onSecond rueidis.Client
	sentinel          rueidis.Client
}

const masterSet = "m"

// setupPair gives a replicated Redis; replication is a user's of its own.
func setupPair(t *testing.T) *pair {
	t.Helper()
	stack, err := devstack.Start(t.Context(), devstack.Options{SkipPostgres: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stack.Close()) })
	u, err := url.Parse(stack.RedisURL)
	require.NoError(t, err)
	password, _ := u.User.Password()
	user := fmt.Sprintf("user repl on >%s +psync +replconf +ping", password)
	p := &pair{}
	p.first, err = stack.AddRedis(t.Context(), user, "masteruser repl")
	require.NoError(t, err)
	p.second, err = stack.AddRedis(t.Context(), user, "masteruser repl", fmt.Sprintf("replicaof 127.0.0.1 %d", p.first.Port))
	require.NoError(t, err)
	sentinel, err := stack.AddSentinel(t.Context(), fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 1", masterSet, p.first.Port),
		"sentinel auth-pass "+masterSet+" "+password, "sentinel down-after-milliseconds "+masterSet+" 300")
	require.NoError(t, err)
	p.onFirst, p.onSecond, p.sentinel = client(t, p.first.URL()), client(t, p.second.URL()), client(t, sentinel.URL())
	p.bundle = &bundle{t: t, url: sentinel.URL() + "?master_set=" + masterSet, redis: p.onFirst, primary: newPrimary()}
	p.options = cache.Options{Prefix: "pair:", MaxStaleness: time.Minute}.Paced(fetchEvery, breakerPause)
	p.options.Tune = func(o *rueidis.ClientOption) { o.Sentinel.Password = password }
	p.begin()
	p.becomes(func() bool {
		replicas, err := p.sentinel.Do(t.Context(), p.sentinel.B().SentinelReplicas().Master(masterSet).Build()).ToArray()
		return err == nil && len(replicas) == 1
	})
	return p
}

func client(t *testing.T, url string) rueidis.Client {
	t.Helper()
	opt, err := rueidis.ParseURL(url)
	require.NoError(t, err)
	opt.ForceSingleClient = true
	c, err := rueidis.NewClient(opt)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// detach ends the replication: what the first one is told from now on, the second
// does not hear.
func (p *pair) detach() {
	p.t.Helper()
	require.NoError(p.t, p.onFirst.Do(p.t.Context(), p.onFirst.B().AclSetuser().Username("repl").Rule("off").Build()).Error())
	require.NoError(p.t, p.onFirst.Do(p.t.Context(), p.onFirst.B().ClientKill().User("repl").Build()).Error())
}

// via lets processes that are opened from now on reach the first one through a
// proxy.
func (p *pair) via(proxy *faultproxy.Proxy) {
	before := p.options.Tune
	p.options.Tune = func(o *rueidis.ClientOption) {
		before(o)
		o.DialCtxFn = func(ctx context.Context, dst string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
			if dst == p.first.Addr() {
				dst = proxy.Addr()
			}
			return d.DialContext(ctx, "tcp", dst)
		}
	}
}

// replicated waits until the second one has the record, too.
func (p *pair) replicated(key cache.Key, text string) {
	p.t.Helper()
	p.becomes(func() bool { return p.stored(key) == text })
	p.becomes(func() bool {
		raw, err := p.onSecond.Do(p.t.Context(), p.onSecond.B().Get().Key(p.drainer.cache.Name(kind, key)).Build()).ToString()
		return err == nil && raw == p.raw(key)
	})
}

// Sentinel makes the replica master, which has not heard of the last write. The
// client asks it while its connection to the old one is not closed yet, which tells
// nothing any more.
func TestASwitchStartsClean(t *testing.T) {
	t.Parallel()
	p := setupPair(t)
	other := p.process()
	proxy, err := faultproxy.Start("tcp", p.first.Addr())
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	p.via(proxy)
	writer := p.process()
	p.primary.secretly(key, "old")
	p.cached(other, key, "old")
	p.replicated(key, "old")
	p.detach()
	p.write(writer, key, "new")
	require.Equal(t, "t", p.raw(key))

	defer p.drainer.rest()()
	closing := proxy.On(faultproxy.ToServer, "PING", faultproxy.StallBefore)
	require.NoError(t, p.sentinel.Do(t.Context(), p.sentinel.B().SentinelFailover().Master(masterSet).Build()).Error())
	<-closing
	require.Equal(t, "new", p.get(writer, key))
}
