package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// provider is the demo's OAuth 2.0 token endpoint, on the loopback address.
type provider struct {
	http.Server

	url   string
	calls atomic.Int64
}

func newProvider(ctx context.Context) (*provider, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &provider{url: "http://" + l.Addr().String()}
	p.Handler, p.ReadHeaderTimeout = p, time.Second
	go func() {
		if err := p.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			_ = l.Close() // refreshes tell that nobody answers
		}
	}()
	return p, nil
}

func (p *provider) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	n := p.calls.Add(1)
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token":"tok-access-%d","refresh_token":"tok-refresh-%d","expires_in":28800}`, n, n)
}
