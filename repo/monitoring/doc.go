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
package monitoring
