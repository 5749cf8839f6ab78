// Package strategy decides how a data type's calls reach their storage: with
// which deadline, on which connection, and how often again.
//
// [Postgres] runs reads, writes and snapshots on a pool; [RetryPolicy] is the
// contract's retryConfig. Both speak plain errors whose codes
// [result.From] finds.
package strategy
