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
// # Figures
//
// A background compactor sums records into rollups: of a quarter of an hour, an
// hour and a UTC day by key, account and model, of a quarter and a day over
// everybody, and totals of all time. Until it has taken a batch, the batch is
// pending, and a figure is the rollups plus the records of pending batches, read in
// one snapshot: it includes every record whose RecordUsage has returned, and each
// exactly once. [Repo.CleanupOldStats] deletes old records; figures stay.
//
// # Time
//
// [Repo.GetUsageStats] cuts a range into the hours, days or months of any IANA
// zone, as its clocks showed them; cells that such a cut divides are summed from
// the records.
package usage
