package testdb

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/devstack"
)

const (
	masterSet   = "pair"
	replicators = "replicator"
)

// Pair is a Redis, its replica, and the Sentinel that watches them. None keeps
// anything on disk.
type Pair struct {
	First, Second, Sentinel *devstack.Redis
	// URL is the Sentinel's, for whom it wants the password that Tune sets.
	URL string

	t        testing.TB
	password string
}

// RedisPair starts a pair, which ends with the test.
func RedisPair(t testing.TB) *Pair {
	t.Helper()
	stack := redisStack(t)
	u, err := url.Parse(stack.RedisURL)
	require.NoError(t, err)
	p := &Pair{t: t}
	p.password, _ = u.User.Password()
	user := fmt.Sprintf("user %s on >%s +psync +replconf +ping", replicators, p.password)
	p.First, err = stack.AddRedis(t.Context(), user, "masteruser "+replicators)
	require.NoError(t, err)
	p.Second, err = stack.AddRedis(t.Context(), user, "masteruser "+replicators, fmt.Sprintf("replicaof 127.0.0.1 %d", p.First.Port))
	require.NoError(t, err)
	p.Sentinel, err = stack.AddSentinel(t.Context(), fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 1", masterSet, p.First.Port),
		"sentinel auth-pass "+masterSet+" "+p.password, "sentinel down-after-milliseconds "+masterSet+" 1000")
	require.NoError(t, err)
	p.URL = p.Sentinel.URL() + "?master_set=" + masterSet
	sentinel := RedisAt(t, p.Sentinel.URL())
	require.Eventually(t, func() bool {
		replicas, err := sentinel.Do(t.Context(), sentinel.B().SentinelReplicas().Master(masterSet).Build()).ToArray()
		return err == nil && len(replicas) == 1
	}, time.Minute, time.Millisecond)
	return p
}

// RedisServer starts a Redis that keeps nothing on disk and ends with the test.
func RedisServer(t testing.TB) *devstack.Redis {
	t.Helper()
	r, err := redisStack(t).AddRedis(t.Context())
	require.NoError(t, err)
	return r
}

func redisStack(t testing.TB) *devstack.Stack {
	t.Helper()
	stack, err := devstack.Start(t.Context(), devstack.Options{SkipPostgres: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stack.Close()) })
	return stack
}

// Tune lets a client of the URL in.
func (p *Pair) Tune(o *rueidis.ClientOption) { o.Sentinel.Password = p.password }

// Detach ends the replication: what the first one is told from now on, the second
// does not hear.
func (p *Pair) Detach() {
	p.t.Helper()
	c := RedisAt(p.t, p.First.URL())
	require.NoError(p.t, c.Do(p.t.Context(), c.B().AclSetuser().Username(replicators).Rule("off").Build()).Error())
	require.NoError(p.t, c.Do(p.t.Context(), c.B().ClientKill().User(replicators).Build()).Error())
}

// FailOver has the Sentinel make the replica master, as soon as it knows it well
// enough. It ends before the replica is.
func (p *Pair) FailOver() {
	p.t.Helper()
	c := RedisAt(p.t, p.Sentinel.URL())
	require.Eventually(p.t, func() bool {
		return c.Do(p.t.Context(), c.B().SentinelFailover().Master(masterSet).Build()).Error() == nil
	}, time.Minute, 10*time.Millisecond)
}
