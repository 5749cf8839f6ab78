// Package usage keeps what a gateway's requests used and cost: the contract's
// UsageStatsInterface over an append-only ledger.
//
// # Recording
//
// [Repo.RecordUsage] returns when its record is committed. A record with a
// RequestID counts once however often it is given, across processes and crashes;
// the library's own retries never count twice, with or without one.
//
// # Figures
//
// A background compactor sums records into 15-minute rollups. Until it has taken
// a batch, the batch is pending, and a figure is the rollups plus the records of
// pending batches, read in one snapshot: it includes every record whose
// RecordUsage has returned, and each exactly once.
//
// # Time
//
// [Repo.GetUsageStats] cuts a range into the hours, days or months of any IANA
// zone, as its clocks showed them; cells that such a cut divides are summed from
// the records.
package usage
