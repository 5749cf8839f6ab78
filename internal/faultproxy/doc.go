// Package faultproxy stands between a client and a real server, so that a test
// can lose the connection at an exact byte.
//
// A [Proxy] passes bytes until it is told otherwise. [Proxy.Cut] ends every
// connection and takes no new one, [Proxy.Stall] leaves the sockets open and
// holds every byte, as a paused server does, [Proxy.Slow] delays them, and
// [Proxy.Pass] mends all three.
// [Proxy.On] and [Proxy.After] arm one fault for one moment:
//
//	proxy, url := faultproxy.Postgres(t, testdb.URL(t))
//	cut := proxy.On(faultproxy.ToClient, faultproxy.CommitDone, faultproxy.CutBefore)
//	… // the server commits, and the client is never told
//	<-cut
package faultproxy
