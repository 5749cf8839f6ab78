package cache

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/redis/rueidis"
)

// track sets what the cache lives from, whatever has tuned the other options. One
// connection to the master takes everything, so that pushes and replies have one
// order. What is pushed is a name of its own beside each record's: fills and
// expiries of records must not void tickets, and NOLOOP does not hold for what a
// script writes.
func (c *Cache) track(opt *rueidis.ClientOption) {
	opt.DisableCache, opt.AlwaysRESP2 = false, false
	if opt.Sentinel.MasterSet == "" { // one heartbeat cannot speak for a cluster's shards: one of them has all keys
		opt.ForceSingleClient, c.place.nodes = true, opt.InitAddress
	}
	opt.PipelineMultiplex, opt.DisableAutoPipelining, opt.BlockingPipeline = -1, false, -1
	opt.Standalone, opt.ReplicaOnly, opt.SendToReplicas = rueidis.StandaloneOption{}, false, nil
	opt.ClientTrackingOptions = []string{"BCAST", "PREFIX", c.opts.Prefix + pushMark, "NOLOOP"}
	opt.OnInvalidations = c.onInvalidations
	opt.DialCtxFn = c.dialer(*opt)
}

// dialer makes each new connection start clean, before its first command. The loss
// of the one before is not enough: behind a Sentinel the client asks the new master
// first, and closes the connection to the old one afterwards, which may be silent.
func (c *Cache) dialer(opt rueidis.ClientOption) func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error) {
	dial := opt.DialCtxFn
	if dial == nil {
		dial = dialPlainly
	}
	return func(ctx context.Context, address string, d *net.Dialer, config *tls.Config) (net.Conn, error) {
		address = c.place.address(address)
		conn, err := dial(ctx, address, d, config)
		if err == nil {
			c.place.connected(address, conn)
			c.lose()
		}
		return conn, err
	}
}

func dialPlainly(ctx context.Context, address string, d *net.Dialer, config *tls.Config) (net.Conn, error) {
	if config == nil {
		return d.DialContext(ctx, "tcp", address)
	}
	return (&tls.Dialer{NetDialer: d, Config: config}).DialContext(ctx, "tcp", address)
}
