package monitoring_test

import (
	"context"
	"fmt"
	"log"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/monitoring"
)

func open(ctx context.Context) (client *repo.Client, done func()) {
	url, drop := testdb.ForExample() // elsewhere: repo.ConfigFromEnv
	client, err := repo.Open(ctx, repo.Config{DatabaseURL: url})
	if err != nil {
		log.Panic(err)
	}
	return client, func() { _ = client.Close(ctx); drop() }
}

func ExampleRepo_GetPerformanceMetrics() {
	ctx := context.Background()
	client, done := open(ctx)
	defer done()
	m, err := client.Monitoring.GetPerformanceMetrics(ctx, monitoring.Range5m)
	fmt.Println(m.Cache.HitRate, m.Errors.Rate, err) // no Redis, no errors
	_, err = client.Monitoring.GetPerformanceMetrics(ctx, "2h")
	fmt.Println(err)
	// Output:
	// 0 0 <nil>
	// DB_INVALID_QUERY: timeRange: must be 5m, 1h, 24h or 7d
}

func ExampleRepo_GetQueryStats() {
	ctx := context.Background()
	client, done := open(ctx)
	defer done()
	for range 1000 {
		_ = client.Sessions.ValidateSession(ctx, "0000000000000000000000000000000000000000000000000000000000000000")
	}
	stats, err := client.Monitoring.GetQueryStats(ctx, 1)
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(stats.FrequentQueries[0].Query, stats.FrequentQueries[0].CallCount)
	// Output: SessionGetByHash 1000
}
