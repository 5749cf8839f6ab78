// Package cache answers reads from Redis through rueidis' client-side caching
// and keeps the answers no older than the writes of this library.
//
// A read goes process, Redis, primary. A miss takes a lease in Redis before it
// reads the primary, and its answer is stored only if the lease still stands. A
// writer changes the primary and deletes its keys in Redis: that breaks the
// leases and tells every process's local copy to go. Where Redis cannot be told,
// the writer's process fences the keys until every copy has expired.
//
// A cache never fails a call: when Redis is down, paused or slow, a breaker
// opens and the primary answers alone.
package cache
