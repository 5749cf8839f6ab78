package metrics_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/metrics"
	"github.com/seed14a526e0/relaystore/repo"
)

// A gateway serves its metrics.
func Example() {
	ctx := context.Background()
	url, drop := testdb.ForExample() // elsewhere: repo.ConfigFromEnv
	defer drop()
	client, err := repo.Open(ctx, repo.Config{DatabaseURL: url})
	if err != nil {
		log.Panic(err)
	}
	defer client.Close(ctx) //nolint:errcheck // an example

	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.NewCollector(client.Monitoring))
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})

	page := httptest.NewRecorder()
	handler.ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(page.Body.String()) {
		if strings.HasPrefix(line, "relaystore_pool_connections_max") {
			fmt.Print(line)
		}
	}
	// Output: relaystore_pool_connections_max 16
}
