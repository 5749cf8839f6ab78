// Package metrics gives Prometheus what a process of relaystore counts. It is a
// package of its own, so that programs that do not import it do not link Prometheus'
// client.
//
// Register a [NewCollector] of each client, with a label of your own where a process
// has several:
//
//	registry.MustRegister(metrics.NewCollector(client.Monitoring))
//
// The series are those of one process, counted since it was opened: sum them over
// instances. How many there are is bounded: at most 4 for each of at most 501 names of
// queries, of which the library itself has fewer than 200, 3 for each of the 3 kinds of
// cached records, one for each of 17 codes, and some 60 without labels.
//
// A scrape asks PostgreSQL for the outbox and Redis for the journal, for a second at
// most each. What they do not tell is left out of the scrape, not made up.
// docs/grafana.json and docs/alerts.yaml use the metrics; docs/monitoring.md explains
// them.
package metrics
