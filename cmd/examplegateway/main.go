// Command examplegateway is a gateway to copy from: keys, accounts and usage are
// relaystore's, the rest is net/http. It serves POST /v1/messages as Anthropic does,
// /healthz and /metrics. relay.go and usage.go are the contract's two examples in Go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed14a526e0/relaystore/internal/fakeprovider"
	"github.com/seed14a526e0/relaystore/metrics"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
)

var requests = promauto.NewCounterVec(prometheus.CounterOpts{Name: "examplegateway_requests_total", Help: "Answers by status."}, []string{"code"})

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	if err := run(); err != nil {
		slog.Error("the gateway has failed", "error", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:8080", "the `address` to serve on")
	upstream := flag.String("upstream", fakeprovider.Start().URL, "the provider's base `URL`; a fake one of this process's")
	grace := flag.Duration("grace", 20*time.Second, "how long responses may go on after SIGTERM")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)     // a second signal kills
	cfg, err := repo.ConfigFromEnv() // DATABASE_URL, REDIS_URL, RELAYSTORE_*: no secret is an argument
	if err != nil {
		return err
	}
	client, err := repo.Open(ctx, cfg)
	if err != nil {
		return err
	}
	prometheus.MustRegister(metrics.NewCollector(client.Monitoring))
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	slog.Info("serving", "url", "http://"+listener.Addr().String())
	err = newGateway(client, *upstream).serve(ctx, listener, *grace)
	closing, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(err, client.Close(closing)) // after the last record
}

// serve answers until ctx ends. Then no request begins, responses have grace to end, and
// their records are waited for: each is written, or its loss is an error.
func (g *gateway) serve(ctx context.Context, l net.Listener, grace time.Duration) (err error) {
	server := &http.Server{Handler: g.routes(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	// First, since Shutdown closes idle connections: a request that comes on one at that
	// moment is refused, and not recorded without its client having an answer.
	g.stopping.Store(true)
	ending, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if server.Shutdown(ending) != nil {
		_ = server.Close() // as a hang-up of each client: recorded with what was produced
	}
	_ = g.places.Acquire(context.Background(), maxPlaces) // all have ended: recordTime bounds it
	if n := g.lost.Load(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d usage records are in the log, not in the ledger", n))
	}
	return err
}

// routes has more than the API: let a load balancer pass on /v1 alone.
func (g *gateway) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /v1/messages", promhttp.InstrumentHandlerCounter(requests, g.authenticated(g.messages)))
	mux.Handle("GET /metrics", promhttp.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		err := g.client.APIKeys.ValidatePlaintext(r.Context(), "healthz").Err()
		if g.stopping.Load() || !errors.Is(err, result.RecordNotFound) { // nobody has that key: to know it is to be healthy
			unavailable.write(w)
		}
	})
	return mux
}
