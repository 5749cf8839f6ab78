-- Figures as the legacy layout has them, for a move of usage's primary: by the hours,
-- days and months of a fixed offset. They are read after a compaction, while nobody
-- writes.

-- name: UsageMoveIDs :many
-- The keys or accounts behind one that have usage, in order, by the primary keys of
-- usage_totals and usage_imported. At most row_limit rows.
SELECT u.id FROM (
    (SELECT t.id FROM usage_totals t WHERE t.kind = @scope AND t.id > @after ORDER BY t.id LIMIT @row_limit)
    UNION
    (SELECT DISTINCT i.id FROM usage_imported i WHERE i.scope = @scope AND i.id > @after ORDER BY i.id LIMIT @row_limit)
) AS u
ORDER BY u.id
LIMIT @row_limit;

-- name: UsageMoveSpans :many
-- What some keys or accounts used of each model, in each resolution from its time on. An
-- imported span counts where its resolution is told and in the wider ones. Priced are
-- the requests whose cost is known. By the primary keys and usage_rollups_hourly_account;
-- the branch of the other scope is not run. At most row_limit rows.
SELECT c.id::uuid AS id, t.resolution::text AS resolution,
    (date_trunc(t.resolution, c.at + make_interval(hours => @offset_hours::int), 'UTC') - make_interval(hours => @offset_hours::int))::timestamptz AS starts_at,
    c.model::text AS model,
    sum(c.requests)::bigint AS requests,
    sum(c.input_tokens)::bigint AS input_tokens,
    sum(c.output_tokens)::bigint AS output_tokens,
    sum(c.cache_creation_tokens)::bigint AS cache_creation_tokens,
    sum(c.cache_read_tokens)::bigint AS cache_read_tokens,
    sum(c.total_tokens)::bigint AS total_tokens,
    sum(c.cost)::numeric AS cost,
    sum(c.priced)::bigint AS priced
FROM (
    SELECT k.api_key_id AS id, k.bucket AS at, 1 AS width, k.model,
        k.requests, k.input_tokens, k.output_tokens, k.cache_creation_tokens, k.cache_read_tokens, k.total_tokens, k.cost, k.requests AS priced
    FROM unnest(@ids::uuid[]) AS i(id)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_rollups_hourly v WHERE v.api_key_id = i.id AND v.bucket >= @months_from::timestamptz
        OFFSET 0) AS k
    WHERE @scope::text = 'key'
    UNION ALL
    SELECT a.account_id, a.bucket, 1, a.model,
        a.requests, a.input_tokens, a.output_tokens, a.cache_creation_tokens, a.cache_read_tokens, a.total_tokens, a.cost, a.requests
    FROM unnest(@ids::uuid[]) AS i(id)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_rollups_hourly v WHERE v.account_id = i.id AND v.bucket >= @months_from::timestamptz
        OFFSET 0) AS a
    WHERE @scope::text = 'account'
    UNION ALL
    SELECT s.id, s.starts_at, (CASE s.resolution WHEN 'hour' THEN 1 WHEN 'day' THEN 2 ELSE 3 END), s.model,
        s.requests, s.input_tokens, s.output_tokens, s.cache_creation_tokens, s.cache_read_tokens, s.total_tokens, s.cost,
        (CASE WHEN s.cost > 0 THEN s.requests ELSE 0 END)
    FROM unnest(@ids::uuid[]) AS i(id)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_imported v
        WHERE v.scope = @scope::text AND v.id = i.id AND v.starts_at >= @months_from::timestamptz AND v.resolution IN ('hour', 'day', 'month')
        OFFSET 0) AS s
) AS c
CROSS JOIN (VALUES ('hour', 1, @hours_from::timestamptz), ('day', 2, @days_from::timestamptz), ('month', 3, @months_from::timestamptz)) AS t(resolution, width, since)
WHERE c.at >= t.since AND c.width <= t.width
GROUP BY 1, 2, 3, 4
LIMIT @row_limit;

-- name: UsageMoveTotals :many
-- What some keys or accounts have used of all time: a row a model, and one of the model
-- '' that has what was cleaned up, too. By the primary keys and
-- usage_rollups_daily_account. At most row_limit rows.
SELECT c.id::uuid AS id, c.model::text AS model,
    sum(c.requests)::bigint AS requests,
    sum(c.input_tokens)::bigint AS input_tokens,
    sum(c.output_tokens)::bigint AS output_tokens,
    sum(c.cache_creation_tokens)::bigint AS cache_creation_tokens,
    sum(c.cache_read_tokens)::bigint AS cache_read_tokens,
    sum(c.total_tokens)::bigint AS total_tokens,
    sum(c.cost)::numeric AS cost,
    sum(c.priced)::bigint AS priced
FROM (
    SELECT k.api_key_id AS id, k.model,
        k.requests, k.input_tokens, k.output_tokens, k.cache_creation_tokens, k.cache_read_tokens, k.total_tokens, k.cost, k.requests AS priced
    FROM unnest(@ids::uuid[]) AS i(id)
    CROSS JOIN LATERAL (SELECT * FROM usage_rollups_daily v WHERE v.api_key_id = i.id OFFSET 0) AS k
    WHERE @scope::text = 'key'
    UNION ALL
    SELECT a.account_id, a.model,
        a.requests, a.input_tokens, a.output_tokens, a.cache_creation_tokens, a.cache_read_tokens, a.total_tokens, a.cost, a.requests
    FROM unnest(@ids::uuid[]) AS i(id)
    CROSS JOIN LATERAL (SELECT * FROM usage_rollups_daily v WHERE v.account_id = i.id OFFSET 0) AS a
    WHERE @scope::text = 'account'
    UNION ALL
    SELECT t.id, '', t.requests, t.input_tokens, t.output_tokens, t.cache_creation_tokens, t.cache_read_tokens, t.total_tokens, t.cost, t.requests
    FROM usage_totals t WHERE t.kind = @scope::text AND t.id = ANY (@ids::uuid[])
    UNION ALL
    SELECT s.id, m.model,
        s.requests, s.input_tokens, s.output_tokens, s.cache_creation_tokens, s.cache_read_tokens, s.total_tokens, s.cost,
        (CASE WHEN s.cost > 0 THEN s.requests ELSE 0 END)
    FROM usage_imported s CROSS JOIN LATERAL (VALUES (s.model), ('')) AS m(model)
    WHERE s.scope = @scope::text AND s.id = ANY (@ids::uuid[])
) AS c
GROUP BY 1, 2
LIMIT @row_limit;

-- name: UsageMovePending :one
-- Tells whether batches wait for a compaction. One row.
SELECT EXISTS (SELECT FROM usage_pending)::boolean AS pending;

-- name: UsageMoveCounted :one
-- Tells whether usage was recorded here. One index entry a table. One row.
SELECT (EXISTS (SELECT FROM usage_totals) OR EXISTS (SELECT FROM usage_pending) OR EXISTS (SELECT FROM usage_records))::boolean AS counted;

-- name: UsageMoveRequests :many
-- The registered requestIds behind one, in order, by the primary key. At most row_limit
-- rows.
SELECT q.request_hash, q.recorded_on FROM usage_requests q WHERE q.request_hash > @after ORDER BY q.request_hash LIMIT @row_limit;

-- name: UsageMoveRegister :exec
-- Registers requestIds, each from its day on. Those that are registered stay as they are.
INSERT INTO usage_requests (request_hash, recorded_on)
SELECT u.hash, u.recorded_on FROM ROWS FROM (unnest(@hashes::uuid[]), unnest(@recorded_on::date[])) AS u(hash, recorded_on)
ORDER BY u.hash
ON CONFLICT (request_hash) DO NOTHING;
