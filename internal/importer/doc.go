// Package importer moves what the legacy service (claude-relay-service) keeps in its
// Redis into PostgreSQL, and proves that it has.
//
// # What becomes of what
//
// API keys and accounts become rows, with their ids, times and secrets: the secrets of
// accounts are opened with the service's ENCRYPTION_KEY and sealed with the library's
// keyset, and every account is paused, so that two systems never refresh one token.
// Counters become spans of usage, each less what finer ones have. Everything else that
// is worth keeping is sealed in legacy_objects as it was.
//
// # One source of figures
//
// The service tells of a request in many places: in counters by key, model, hour, day
// and month, in its records, in its stream of billing events. Counters alone make
// figures here, so that nothing counts twice; the stream divides a cost among models
// and shows whether the counters are whole.
//
// # Again and again
//
// Everything is set, not added: an import that was killed is run again, and one that is
// run again later adds what has happened since. What has changed here in the meantime
// is never replaced. Where a counter has expired over there, what was imported of it
// stays.
//
// # Memory
//
// Keys come in Redis' order, which is none, and the counters of one API key have to be
// seen together. They go through files in a temporary folder, by their id, so that a
// deployment's size shows on the disk and not in memory; what memory holds is the ids
// of keys and accounts.
package importer
