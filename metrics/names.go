package metrics

import "github.com/prometheus/client_golang/prometheus"

var described []*prometheus.Desc

func describe(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc("relaystore_"+name, help, labels, nil)
	described = append(described, d)
	return d
}

var (
	queryCalls    = describe("query_calls_total", "Queries that have ended, by name.", "query")
	querySeconds  = describe("query_seconds_total", "Time from sending a query until its last row was read, by name.", "query")
	querySlow     = describe("query_slow_total", "Queries that took as long as the threshold or longer, by name.", "query")
	queryFailed   = describe("query_failed_total", "Queries that ended in an error, by name.", "query")
	queryDuration = describe("query_duration_seconds", "Time from sending a query until its last row was read.")

	poolConnections = describe("pool_connections", "Open connections to PostgreSQL.", "state")
	poolMax         = describe("pool_connections_max", "Bound of the open connections.")
	poolAcquires    = describe("pool_acquires_total", "Calls that asked for a connection, those that got none in time included.")
	poolWait        = describe("pool_wait_seconds_total", "Time that calls waited for a connection.")
	poolBusy        = describe("pool_busy_seconds_total", "Time that connections were in use, summed over connections.")

	errorsTotal = describe("errors_total", "Calls of PostgreSQL and Redis that failed, after their retries, by code.", "code")

	cacheHits      = describe("cache_hits_total", "Look-ups that spared PostgreSQL, by kind of record.", "kind")
	cacheMisses    = describe("cache_misses_total", "Look-ups that asked PostgreSQL, by kind of record.", "kind")
	cacheEvictions = describe("cache_evictions_total", "Records that went out of the process's table for others' sake, by kind.", "kind")
	cacheFresh     = describe("cache_fresh", "Whether the process answers from its cache.")
	cacheOff       = describe("cache_breaker_open", "Whether Redis is not asked, since it does not answer.")
	cacheStaleness = describe("cache_staleness_seconds", "How old an answer from the cache may be.")

	consistencyChecked    = describe("consistency_checked_total", "Cached answers that were compared with PostgreSQL.")
	consistencyViolations = describe("consistency_violations_total", "Those of them that PostgreSQL had replaced more than a second before.")

	usageBatch       = describe("usage_batch_records", "Usage records that shared a commit, or a round trip to the journal.")
	journalAppending = describe("journal_appending", "Whether the journal takes records.")
	journalUnflushed = describe("journal_unflushed_records", "Records in the journal that are acknowledged and not in PostgreSQL yet.")
	journalRefused   = describe("journal_refused_records", "Records of the journal that were put aside.")
	journalOldest    = describe("journal_oldest_seconds", "Age of the oldest record in the journal that is not flushed.")
	touchesAppending = describe("touches_appending", "Whether the journal of last uses, sessions' extensions and accounts' statuses takes them.")
	touchesUnflushed = describe("touches_unflushed_entries", "Entries of that journal that are acknowledged and not in PostgreSQL yet.")
	touchesRefused   = describe("touches_refused_entries", "Entries of that journal that were put aside.")
	touchesOldest    = describe("touches_oldest_seconds", "Age of the oldest entry of that journal that is not flushed.")
	touchesDropped   = describe("touches_dropped_total", "Entries that this process has flushed and that were about nothing any more.")

	outboxWaiting = describe("outbox_waiting_changes", "Changes that Redis has not been told of, counted up to 10,000.")
	outboxOldest  = describe("outbox_oldest_seconds", "Age of the oldest of them.")
)
