// Package strategy decides how a data type's calls reach their storage: with
// which deadline, on which connection, and how often again.
//
// [Postgres] runs reads, writes and snapshots on a pool; [RetryPolicy] is the
// contract's retryConfig. Both speak plain errors whose codes
// [result.From] finds.
//
// A [Tx] is an open transaction; its [Tx.Primary] is a Postgres as well, whose
// calls run on the transaction's connection, one after the other. So a repo works
// inside a transaction as it does outside, if it asks [Postgres.InTx] before it
// answers from a cache, leaves to [Postgres.AfterCommit] what others hear of, and
// takes to [Postgres.Outside] what must not hang on the transaction.
//
// [Switches] follows how each data type is stored and changes it, [Rows] are the ways
// there are. What writes is fenced: [Postgres.For] and [Redis.Write] let nobody write
// where a data type's primary was, and [Switches.Move] makes another storage the primary
// while writers wait.
package strategy
