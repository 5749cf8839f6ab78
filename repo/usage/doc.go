// Package usage keeps what a gateway's requests used and cost: the contract's
// UsageStatsInterface over an append-only ledger.
//
// # Recording
//
// [Repo.RecordUsage] returns when its record is committed. Calls that come while
// others are being committed share the next transaction; a call that comes alone
// waits for nobody. A record with a RequestID counts once however often it is
// given, across processes and crashes; the library's own retries never count
// twice, with or without one. What the database refuses in a batch is answered to
// its own caller; the others are committed. [Repo.RecordUsageBatch] takes many.
//
// # Writing behind
//
// With a Journal, RecordUsage returns when a Redis Stream has the record, under the
// id that the ledger will know it by. Every process with a journal flushes it: what
// is read by one that dies is flushed by another, and a record that is flushed or
// written twice is stored once. When Redis does not take a record, it is written
// through. docs/journal.md has the promises.
//
// # Figures
//
// A background compactor sums records into rollups: of a quarter of an hour, an
// hour and a UTC day by key, account and model, of a quarter and a day over
// everybody, and totals of all time. Until it has taken a batch, the batch is
// pending, and a figure is the rollups plus the records of pending batches, read in
// one snapshot: it includes every record whose RecordUsage has returned, and each
// exactly once; with a journal, every record that is flushed, and [Stats] tells the
// age of the oldest that is not. [Repo.CleanupOldStats] deletes old records;
// figures stay.
//
// [Repo.Import] sets what another service counted before. It stands beside the ledger
// and counts in every figure; docs/ledger.md says where, when a span does not fit.
//
// # A Redis primary
//
// Where the primary is Redis, a record is one script that changes every counter of the
// legacy service's layout, or none, and figures are sums of these counters: by whole
// hours of one offset, for as long as the layout keeps them. docs/redis-usage.md has what
// differs.
//
// # Time
//
// [Repo.GetUsageStats] cuts a range into the hours, days or months of any IANA
// zone, as its clocks showed them; cells that such a cut divides are summed from
// the records. [Repo.GetCostAnalysis] breaks down what its days cost.
package usage
