package testdb

import (
	"strconv"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/devstack"
)

// Cluster is a Redis Cluster of three masters without replicas, which keep nothing on
// disk.
type Cluster struct {
	Nodes []*devstack.Redis
	// URL names all of them.
	URL string

	t testing.TB
}

// RedisCluster starts a Cluster, which ends with the test.
func RedisCluster(t testing.TB) *Cluster {
	t.Helper()
	nodes, err := redisStack(t).AddCluster(t.Context(), 3)
	require.NoError(t, err)
	c := &Cluster{Nodes: nodes, URL: nodes[0].URL() + "?addr=" + nodes[1].Addr() + "&addr=" + nodes[2].Addr(), t: t}
	return c
}

// Owner is the node that has the slot of a key, as the first one knows, and the slot.
func (c *Cluster) Owner(key string) (node int, slot string) {
	c.t.Helper()
	r := RedisAt(c.t, c.Nodes[0].URL())
	n, err := r.Do(c.t.Context(), r.B().ClusterKeyslot().Key(key).Build()).AsInt64()
	require.NoError(c.t, err)
	err = r.Do(c.t.Context(), r.B().Arbitrary("GET").Keys(key).Build()).Error()
	slot = strconv.FormatInt(n, 10)
	redis, ok := rueidis.IsRedisErr(err)
	if !ok {
		return 0, slot
	}
	address, _ := redis.IsMoved()
	for i, node := range c.Nodes {
		if node.Addr() == address {
			return i, slot
		}
	}
	return 0, slot
}

// Move gives the slot of a key to another node, without what it held, and gives that
// node.
func (c *Cluster) Move(key string) (to int) {
	c.t.Helper()
	from, slot := c.Owner(key)
	to = (from + 1) % len(c.Nodes)
	target := RedisAt(c.t, c.Nodes[to].URL())
	id, err := target.Do(c.t.Context(), target.B().ClusterMyid().Build()).ToString()
	require.NoError(c.t, err)
	assign := func(r rueidis.Client) error {
		return r.Do(c.t.Context(), r.B().Arbitrary("CLUSTER", "SETSLOT", slot, "NODE", id).Build()).Error()
	}
	source := RedisAt(c.t, c.Nodes[from].URL())
	require.Eventually(c.t, func() bool { // others may write between
		return source.Do(c.t.Context(), source.B().Flushall().Build()).Error() == nil && assign(source) == nil
	}, time.Minute, time.Millisecond)
	for i, node := range c.Nodes {
		if i != from {
			require.NoError(c.t, assign(RedisAt(c.t, node.URL())))
		}
	}
	return to
}
