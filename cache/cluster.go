package cache

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"

	"github.com/redis/rueidis"
)

// ErrNoHashTag means that Redis is a Cluster and would spread the prefix's keys over
// its masters, of which one heartbeat cannot speak: the prefix needs a hash tag, such
// as {relaystore}:, which keeps them on one.
var ErrNoHashTag = errors.New("the Redis is a Cluster, and the prefix has no hash tag")

func (c *Cache) checkCluster(ctx context.Context, r rueidis.Client) error {
	if InCluster(ctx, r) && !tagged(c.opts.Prefix) {
		return ErrNoHashTag
	}
	return nil
}

// InCluster asks a server whether it is one of a Cluster's. One that does not tell is not.
func InCluster(ctx context.Context, r rueidis.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	info, err := r.Do(ctx, r.B().Info().Section("cluster").Build()).ToString()
	return err == nil && infoField(info, "cluster_enabled") == "1"
}

// tagged tells whether a text has a hash tag, as Redis Cluster finds it.
func tagged(text string) bool {
	_, tag, _ := strings.Cut(text, "{")
	return strings.IndexByte(tag, '}') > 0
}

// place is where the server is that has the keys. In a Cluster it is where the last
// MOVED pointed; after the loss of that, the nodes of the URL are asked in turn, and
// each points on.
type place struct {
	nodes []string // of the URL; nil behind a Sentinel, which is asked

	mu   sync.Mutex
	turn int
	next string   // where a MOVED pointed
	at   string   // where the last connection leads
	conn net.Conn // the last one
}

// address is where to connect, in place of where the client would.
func (p *place) address(client string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.next != "":
		client, p.next = p.next, ""
	case len(p.nodes) > 1:
		client = p.nodes[p.turn%len(p.nodes)]
		p.turn++
	}
	return client
}

func (p *place) connected(address string, conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.conn = address, conn
}

// follow ends the connection to a node that has the keys no more. The client makes
// another one with its next command, which begins clean as each does.
func (p *place) follow(err error) {
	redis, ok := rueidis.IsRedisErr(err)
	if !ok || p.nodes == nil {
		return
	}
	address, moved := redis.IsMoved()
	if !moved {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.HasPrefix(address, ":") { // on the host that was asked
		host, _, _ := net.SplitHostPort(p.at)
		address = host + address
	}
	if address == p.at || p.conn == nil { // another call has followed
		return
	}
	p.next, p.at = address, address
	_ = p.conn.Close()
}
