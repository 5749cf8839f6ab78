// Package cache answers reads from a table in the process and keeps the answers
// no older than the writes of any process.
//
// A read ([Records.Get]) looks into a table of decoded records; a hit takes no
// lock, allocates nothing and asks nobody. Four things keep it right:
//
//   - Pushes. One connection to Redis tracks the names that writers touch for each
//     changed record, and each push takes the process's copy away.
//   - Tickets and leases. Who fills a table holds a ticket from before it asked,
//     which any push in between voids ([Table]). Who fills Redis holds a lease in
//     the key, which any write in between replaces by a tombstone.
//   - Tells. A writer leaves the tombstone, and has it pushed, before it answers;
//     the outbox does so again for every change that was committed, by hand ones included. Where
//     Redis cannot be told, the writer's process fences the key until the outbox
//     has been drained.
//   - Heartbeats. Whoever drains the outbox writes one; a process answers from its
//     cache only while heartbeats prove that it has missed nothing for longer than
//     MaxStaleness.
//
// A cache never fails a call: when Redis is down, paused or slow, a breaker opens
// and the primary answers. docs/freshness.md shows the paths.
//
// A [Journal] is something else that Redis keeps: entries that are acknowledged when
// a stream has them, and flushed to the primary by a consumer of any process. See
// docs/journal.md.
package cache
