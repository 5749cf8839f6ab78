-- name: PerformanceSampleInsert :exec
-- Stores a minute of a process, once, whatever is repeated. By primary key. One row.
INSERT INTO performance_samples (minute, id, queries, query_micros, slow_queries, acquires, wait_micros, busy_micros,
    capacity_micros, hits, misses, evictions, error_codes, error_counts)
VALUES (@minute, @id, @queries, @query_micros, @slow_queries, @acquires, @wait_micros, @busy_micros,
    @capacity_micros, @hits, @misses, @evictions, @error_codes, @error_counts)
ON CONFLICT DO NOTHING;

-- name: PerformanceQueryUpsert :exec
-- Replaces what a process has counted of its queries in an hour. By primary key. A
-- row a name.
INSERT INTO performance_queries (hour, id, name, calls, total_micros, last_executed)
SELECT @hour::timestamptz, @id::uuid, u.name, u.calls, u.total_micros, u.last_executed
FROM ROWS FROM (unnest(@names::text[]), unnest(@calls::bigint[]), unnest(@total_micros::bigint[]), unnest(@last_executed::timestamptz[]))
    AS u(name, calls, total_micros, last_executed)
ON CONFLICT (hour, id, name) DO UPDATE
SET calls = excluded.calls, total_micros = excluded.total_micros, last_executed = excluded.last_executed;

-- name: PerformanceSum :one
-- The minutes of a span over all processes, without the given rows. By primary key's
-- order. One row.
SELECT coalesce(sum(queries), 0)::bigint AS queries, coalesce(sum(query_micros), 0)::bigint AS query_micros,
    coalesce(sum(slow_queries), 0)::bigint AS slow_queries, coalesce(sum(acquires), 0)::bigint AS acquires,
    coalesce(sum(wait_micros), 0)::bigint AS wait_micros, coalesce(sum(busy_micros), 0)::bigint AS busy_micros,
    coalesce(sum(capacity_micros), 0)::bigint AS capacity_micros, coalesce(sum(hits), 0)::bigint AS hits,
    coalesce(sum(misses), 0)::bigint AS misses, coalesce(sum(evictions), 0)::bigint AS evictions
FROM performance_samples WHERE minute >= @since AND minute <= @until AND id <> ALL (@without::uuid[]);

-- name: PerformanceErrors :many
-- The errors of the same rows by code. By primary key's order. A row a code.
SELECT e.code::text AS code, sum(e.n)::bigint AS n
FROM performance_samples s, ROWS FROM (unnest(s.error_codes), unnest(s.error_counts)) AS e(code, n)
WHERE s.minute >= @since AND s.minute <= @until AND s.id <> ALL (@without::uuid[]) AND s.error_codes <> '{}'
GROUP BY e.code LIMIT 100;

-- name: PerformanceQueries :many
-- The queries of a span of hours over all processes, without the given rows, the most
-- frequent first. By primary key's order. A row a name, at most row_limit.
SELECT name, sum(calls)::bigint AS calls, sum(total_micros)::bigint AS total_micros, max(last_executed)::timestamptz AS last_executed
FROM performance_queries WHERE hour >= @since AND hour <= @until AND id <> ALL (@without::uuid[])
GROUP BY name ORDER BY sum(calls) DESC LIMIT @row_limit;

-- name: PerformanceTrim :execrows
-- Drops minutes that are too old, or of a clock that was wrong. By primary key's
-- order. At most row_limit rows; whoever else trims is not waited for.
DELETE FROM performance_samples WHERE (minute, id) IN (
    SELECT s.minute, s.id FROM performance_samples s WHERE s.minute < @before OR s.minute > @after
    LIMIT @row_limit FOR UPDATE SKIP LOCKED);

-- name: PerformanceQueryTrim :execrows
-- The same for hours.
DELETE FROM performance_queries WHERE (hour, id, name) IN (
    SELECT q.hour, q.id, q.name FROM performance_queries q WHERE q.hour < @before OR q.hour > @after
    LIMIT @row_limit FOR UPDATE SKIP LOCKED);
