// Package monitoring says how the data layer does: the contract's
// MonitoringInterface.
//
// # Where the figures come from
//
// Each process counts its own queries, connections, look-ups and failures, and
// stores what it counted once a minute, in a row of its own. A figure is the sum over
// every process's rows, those of processes that have ended included, and over what the
// asked process has not stored yet. Of another process up to a minute is missing, and
// all that a killed one had not stored.
//
// Nothing is estimated. Where nothing was counted, a figure is 0: an average without
// calls, a rate without look-ups.
//
// # What it costs
//
// Two short statements a process and minute, and a few atomic additions a query; see
// docs/monitoring.md. Rows are kept for eight days.
//
// # Alerts
//
// An alert is a metric with a threshold that it must not pass for a duration, and a
// webhook that hears when it does and when it no longer does.
//
// # Who watches
//
// Alerts and their states are in PostgreSQL. One process evaluates them each second, for
// as long as it renews its lease; another one takes over when that has ended, 5 s after
// a death, and where each alert stands is not lost. One that cannot measure each alert's
// metric, as it has no Redis, leaves the lease to one that can. A state changes by compare-and-set,
// together with a row for its delivery: each change is delivered once it is committed,
// at least once, by any process, whoever dies in between.
//
// # What arrives
//
// A POST with an [AlertEvent] in JSON, signed as standardwebhooks.com describes. Its
// Idempotency-Key is the same in every attempt; a receiver that has answered 2xx may
// still see it again.
package monitoring
