package monitoring_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/monitoring"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func openForAlerts(ctx context.Context) (*repo.Client, func()) {
	url, drop := testdb.ForExample() // elsewhere: repo.ConfigFromEnv
	client, err := repo.Open(ctx, repo.Config{DatabaseURL: url, AlertSecret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
	if err != nil {
		log.Panic(err)
	}
	return client, func() {
		_ = client.Close(ctx)
		drop()
	}
}

// Somebody hears when most of the connections have been busy for a minute. An address
// that is not public is refused where the configuration does not allow such.
func ExampleAlerts_SetPerformanceAlert() {
	ctx := context.Background()
	client, closeAll := openForAlerts(ctx)
	defer closeAll()
	busy := monitoring.AlertConfig{
		Metric: "database.connectionPool.utilization", Threshold: 0.9, Operator: monitoring.AtLeast,
		Duration: time.Minute, Webhook: "https://example.com/hook",
	}
	fmt.Println(client.Monitoring.SetPerformanceAlert(ctx, busy).Err())

	busy.Webhook = "http://169.254.169.254/latest"
	err := client.Monitoring.SetPerformanceAlert(ctx, busy).Err()
	fmt.Println(result.From(err).Field())
	// Output:
	// <nil>
	// webhook
}

// Where alerts stand.
func ExampleAlerts_ListPerformanceAlerts() {
	ctx := context.Background()
	client, closeAll := openForAlerts(ctx)
	defer closeAll()
	slow := monitoring.AlertConfig{Metric: "postgres.outboxLag", Threshold: 60_000, Operator: monitoring.Above}
	fmt.Println(client.Monitoring.SetPerformanceAlert(ctx, slow).Err())
	list, err := client.Monitoring.ListPerformanceAlerts(ctx).Get()
	for _, a := range list.Alerts {
		fmt.Println(a.Metric, a.Operator, a.Threshold, a.State, err)
	}
	// Output:
	// <nil>
	// postgres.outboxLag > 60000 ok <nil>
}

// Another threshold is another alert: the old one goes.
func ExampleAlerts_RemovePerformanceAlert() {
	ctx := context.Background()
	client, closeAll := openForAlerts(ctx)
	defer closeAll()
	alert := monitoring.AlertConfig{Metric: "postgres.poolStatus.waiting", Threshold: 10, Operator: monitoring.Above}
	fmt.Println(client.Monitoring.SetPerformanceAlert(ctx, alert).Err())
	list, err := client.Monitoring.ListPerformanceAlerts(ctx).Get()
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(client.Monitoring.RemovePerformanceAlert(ctx, list.Alerts[0].ID).Err())
	// Output:
	// <nil>
	// <nil>
}
