-- Figures of other services. They are read beside those of the ledger, where there are
-- any (UsageHorizon): a database without them pays nothing for them.

-- name: UsageImportLock :exec
-- Makes imports and clean-ups of spans one at a time, until the transaction ends. The
-- next statement sees what the one before has done.
SELECT pg_advisory_xact_lock(@lock::bigint);

-- name: UsageImport :one
-- Sets spans, under UsageImportLock: a new one is written, one that differs is
-- replaced. Those before the rollups' horizon are left out, but for opening balances.
-- By the primary key. One row.
WITH input AS MATERIALIZED (
    SELECT u.*, u.resolution <> 'opening' AND u.ends_at <= h.rollups_from AS cleaned
    FROM ROWS FROM (
        unnest(@scopes::text[]), unnest(@ids::uuid[]), unnest(@models::text[]), unnest(@resolutions::text[]),
        unnest(@starts_at::timestamptz[]), unnest(@ends_at::timestamptz[]),
        unnest(@requests::bigint[]), unnest(@input_tokens::bigint[]), unnest(@output_tokens::bigint[]),
        unnest(@cache_creation_tokens::bigint[]), unnest(@cache_read_tokens::bigint[]), unnest(@total_tokens::bigint[]),
        unnest(@costs::numeric[])
    ) AS u(scope, id, model, resolution, starts_at, ends_at,
        requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost)
    CROSS JOIN usage_horizon h
), written AS (
    INSERT INTO usage_imported (scope, id, model, resolution, starts_at, ends_at, requests, input_tokens, output_tokens,
        cache_creation_tokens, cache_read_tokens, total_tokens, cost)
    SELECT i.scope, i.id, i.model, i.resolution, i.starts_at, i.ends_at, i.requests, i.input_tokens, i.output_tokens,
        i.cache_creation_tokens, i.cache_read_tokens, i.total_tokens, i.cost
    FROM input i WHERE NOT i.cleaned
    ON CONFLICT (scope, id, starts_at, resolution, model) DO UPDATE SET
        ends_at = excluded.ends_at, requests = excluded.requests,
        input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
        cache_creation_tokens = excluded.cache_creation_tokens, cache_read_tokens = excluded.cache_read_tokens,
        total_tokens = excluded.total_tokens, cost = excluded.cost
    WHERE (usage_imported.ends_at, usage_imported.requests, usage_imported.input_tokens, usage_imported.output_tokens,
        usage_imported.cache_creation_tokens, usage_imported.cache_read_tokens, usage_imported.total_tokens, usage_imported.cost)
        IS DISTINCT FROM (excluded.ends_at, excluded.requests, excluded.input_tokens, excluded.output_tokens,
        excluded.cache_creation_tokens, excluded.cache_read_tokens, excluded.total_tokens, excluded.cost)
    RETURNING usage_imported.id
)
SELECT (SELECT count(*) FROM written)::bigint AS written,
    (SELECT count(*) FROM input i WHERE i.cleaned)::bigint AS cleaned;

-- name: UsageImportRemove :execrows
-- Removes spans that have no figures any more, under UsageImportLock, by the primary
-- key. A statement of its own, for few: the planner would read the whole table.
DELETE FROM usage_imported d
USING ROWS FROM (
    unnest(@scopes::text[]), unnest(@ids::uuid[]), unnest(@models::text[]), unnest(@resolutions::text[]), unnest(@starts_at::timestamptz[])
) AS i(scope, id, model, resolution, starts_at)
WHERE d.scope = i.scope AND d.id = i.id AND d.starts_at = i.starts_at AND d.resolution = i.resolution AND d.model = i.model;

-- name: UsageImportedSpans :many
-- The spans of some ids in the order of the primary key. At most row_limit rows.
SELECT s.scope, s.id, s.model, s.resolution, s.starts_at, s.ends_at, s.requests, s.input_tokens, s.output_tokens,
    s.cache_creation_tokens, s.cache_read_tokens, s.total_tokens, s.cost
FROM usage_imported s
WHERE s.scope = @scope AND s.id = ANY (@ids::uuid[])
ORDER BY s.scope, s.id, s.starts_at, s.resolution, s.model
LIMIT @row_limit;

-- name: UsageImportedByID :many
-- What the spans of one key or account add to the figures of a range, by the primary
-- key: an id has some hundred. first is the slot in which a span begins, 0 before the
-- range, and last the one in which the last of them ends: bounds in between are
-- crossed. An opening balance counts where the range has it whole. At most row_limit
-- rows.
SELECT
    width_bucket(s.starts_at, @bounds::timestamptz[])::int AS first,
    (s.starts_at >= @range_start::timestamptz AND (s.resolution <> 'opening' OR s.ends_at <= @range_end::timestamptz))::boolean AS counts,
    s.model,
    s.id AS group_id,
    max(width_bucket(s.ends_at - interval '1 microsecond', @bounds::timestamptz[]))::int AS last,
    sum(s.requests)::bigint AS requests,
    sum(s.input_tokens)::bigint AS input_tokens,
    sum(s.output_tokens)::bigint AS output_tokens,
    sum(s.cache_creation_tokens)::bigint AS cache_creation_tokens,
    sum(s.cache_read_tokens)::bigint AS cache_read_tokens,
    sum(s.total_tokens)::bigint AS total_tokens,
    sum(s.cost)::numeric AS cost
FROM usage_imported s
WHERE s.scope = @scope AND s.id = @id AND s.starts_at < @range_end::timestamptz AND s.ends_at > @range_start::timestamptz
    AND s.resolution <> 'cleaned' AND (@model::text = '' OR s.model = @model::text)
GROUP BY 1, 2, 3, 4
LIMIT @row_limit;

-- name: UsageImportedByTime :many
-- UsageImportedByID over all keys or all accounts, told apart: usage_imported_ends_at,
-- each resolution up to a time by which its spans that begin in the range have ended.
-- At most row_limit rows.
SELECT
    width_bucket(s.starts_at, @bounds::timestamptz[])::int AS first,
    (s.starts_at >= @range_start::timestamptz AND (s.resolution <> 'opening' OR s.ends_at <= @range_end::timestamptz))::boolean AS counts,
    s.model,
    s.id AS group_id,
    max(width_bucket(s.ends_at - interval '1 microsecond', @bounds::timestamptz[]))::int AS last,
    sum(s.requests)::bigint AS requests,
    sum(s.input_tokens)::bigint AS input_tokens,
    sum(s.output_tokens)::bigint AS output_tokens,
    sum(s.cache_creation_tokens)::bigint AS cache_creation_tokens,
    sum(s.cache_read_tokens)::bigint AS cache_read_tokens,
    sum(s.total_tokens)::bigint AS total_tokens,
    sum(s.cost)::numeric AS cost
FROM (
    SELECT v.starts_at, v.ends_at, v.resolution, v.model, v.id,
        v.requests, v.input_tokens, v.output_tokens, v.cache_creation_tokens, v.cache_read_tokens, v.total_tokens, v.cost
    FROM ROWS FROM (unnest(@resolutions::text[]), unnest(@ended::timestamptz[])) AS r(resolution, ended)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_imported u
        WHERE u.scope = @scope AND u.resolution = r.resolution AND u.ends_at > @range_start::timestamptz AND u.ends_at <= r.ended
            AND u.starts_at < @range_end::timestamptz
        OFFSET 0) AS v
) AS s
WHERE (@model::text = '' OR s.model = @model::text)
GROUP BY 1, 2, 3, 4
LIMIT @row_limit;

-- name: UsageImportedGlobal :many
-- UsageImportedByTime over all keys as one, by the primary key of their sums. At most
-- row_limit rows.
SELECT
    width_bucket(s.starts_at, @bounds::timestamptz[])::int AS first,
    (s.starts_at >= @range_start::timestamptz AND (s.resolution <> 'opening' OR s.ends_at <= @range_end::timestamptz))::boolean AS counts,
    s.model,
    '00000000-0000-0000-0000-000000000000'::uuid AS group_id,
    max(width_bucket(s.ends_at - interval '1 microsecond', @bounds::timestamptz[]))::int AS last,
    sum(s.requests)::bigint AS requests,
    sum(s.input_tokens)::bigint AS input_tokens,
    sum(s.output_tokens)::bigint AS output_tokens,
    sum(s.cache_creation_tokens)::bigint AS cache_creation_tokens,
    sum(s.cache_read_tokens)::bigint AS cache_read_tokens,
    sum(s.total_tokens)::bigint AS total_tokens,
    sum(s.cost)::numeric AS cost
FROM (
    SELECT v.starts_at, v.ends_at, v.resolution, v.model,
        v.requests, v.input_tokens, v.output_tokens, v.cache_creation_tokens, v.cache_read_tokens, v.total_tokens, v.cost
    FROM ROWS FROM (unnest(@resolutions::text[]), unnest(@ended::timestamptz[])) AS r(resolution, ended)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_imported_global u
        WHERE u.resolution = r.resolution AND u.ends_at > @range_start::timestamptz AND u.ends_at <= r.ended
            AND u.starts_at < @range_end::timestamptz
        OFFSET 0) AS v
) AS s
WHERE (@model::text = '' OR s.model = @model::text)
GROUP BY 1, 2, 3
LIMIT @row_limit;

-- name: UsageSums :many
-- Sums of some keys or accounts between bounds at whole hours, over all models:
-- rollups of hours, pending batches, and imported spans as in UsageImportedByID. By the
-- primary keys and usage_rollups_hourly_account; the branch of the other scope is not
-- run. A row an id and slot, at most row_limit.
SELECT c.id::uuid AS id, width_bucket(c.at, @bounds::timestamptz[])::int AS slot,
    sum(c.requests)::bigint AS requests,
    sum(c.input_tokens)::bigint AS input_tokens,
    sum(c.output_tokens)::bigint AS output_tokens,
    sum(c.cache_creation_tokens)::bigint AS cache_creation_tokens,
    sum(c.cache_read_tokens)::bigint AS cache_read_tokens,
    sum(c.total_tokens)::bigint AS total_tokens,
    sum(c.cost)::numeric AS cost
FROM (
    SELECT k.api_key_id AS id, k.bucket AS at,
        k.requests, k.input_tokens, k.output_tokens, k.cache_creation_tokens, k.cache_read_tokens, k.total_tokens, k.cost
    FROM unnest(@ids::uuid[]) AS i(id)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_rollups_tiers v
        WHERE v.api_key_id = i.id AND v.tier = 'hour' AND v.bucket >= @range_start::timestamptz AND v.bucket < @range_end::timestamptz
        OFFSET 0) AS k
    WHERE @scope::text = 'key'
    UNION ALL
    SELECT a.account_id, a.bucket,
        a.requests, a.input_tokens, a.output_tokens, a.cache_creation_tokens, a.cache_read_tokens, a.total_tokens, a.cost
    FROM unnest(@ids::uuid[]) AS i(id)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_rollups_tiers v
        WHERE v.account_id = i.id AND v.tier = 'hour' AND v.bucket >= @range_start::timestamptz AND v.bucket < @range_end::timestamptz
        OFFSET 0) AS a
    WHERE @scope::text = 'account'
    UNION ALL
    SELECT o.id, p.occurred_at,
        p.requests, p.input_tokens, p.output_tokens, p.cache_creation_tokens, p.cache_read_tokens, p.total_tokens, p.cost
    FROM usage_pending_records p
    CROSS JOIN LATERAL (SELECT CASE @scope::text WHEN 'key' THEN p.api_key_id ELSE p.account_id END AS id) AS o
    WHERE p.last_at >= @range_start::timestamptz AND p.first_at < @range_end::timestamptz
        AND p.occurred_at >= @range_start::timestamptz AND p.occurred_at < @range_end::timestamptz AND o.id = ANY (@ids::uuid[])
    UNION ALL
    SELECT s.id, s.starts_at,
        s.requests, s.input_tokens, s.output_tokens, s.cache_creation_tokens, s.cache_read_tokens, s.total_tokens, s.cost
    FROM unnest(@ids::uuid[]) AS i(id)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_imported v
        WHERE v.scope = @scope::text AND v.id = i.id AND v.starts_at >= @range_start::timestamptz AND v.starts_at < @range_end::timestamptz
            AND v.resolution <> 'cleaned' AND (v.resolution <> 'opening' OR v.ends_at <= @range_end::timestamptz)
        OFFSET 0) AS s
) AS c
GROUP BY 1, 2
LIMIT @row_limit;

-- name: UsageImportedTrim :execrows
-- Adds up to row_limit spans that end before a time, but for opening balances, to what
-- is cleaned of their ids and models, under UsageImportLock. By usage_imported_ends_at.
WITH old AS (
    DELETE FROM usage_imported d USING (
        SELECT s.scope, s.id, s.starts_at, s.resolution, s.model
        FROM (VALUES ('key', 'hour'), ('key', 'day'), ('key', 'month'), ('account', 'hour'), ('account', 'day'), ('account', 'month')) AS r(scope, resolution)
        CROSS JOIN LATERAL (
            SELECT * FROM usage_imported u
            WHERE u.scope = r.scope AND u.resolution = r.resolution AND u.ends_at <= @before::timestamptz
            LIMIT @row_limit) AS s
        LIMIT @row_limit) AS o
    WHERE d.scope = o.scope AND d.id = o.id AND d.starts_at = o.starts_at AND d.resolution = o.resolution AND d.model = o.model
    RETURNING d.*
), kept AS (
    INSERT INTO usage_imported (scope, id, model, resolution, starts_at, ends_at, requests, input_tokens, output_tokens,
        cache_creation_tokens, cache_read_tokens, total_tokens, cost)
    SELECT o.scope, o.id, o.model, 'cleaned', '2000-01-01T00:00:00Z', max(o.ends_at), sum(o.requests), sum(o.input_tokens), sum(o.output_tokens),
        sum(o.cache_creation_tokens), sum(o.cache_read_tokens), sum(o.total_tokens), sum(o.cost)
    FROM old o GROUP BY o.scope, o.id, o.model
    ON CONFLICT (scope, id, starts_at, resolution, model) DO UPDATE SET
        ends_at = greatest(usage_imported.ends_at, excluded.ends_at),
        requests = usage_imported.requests + excluded.requests,
        input_tokens = usage_imported.input_tokens + excluded.input_tokens,
        output_tokens = usage_imported.output_tokens + excluded.output_tokens,
        cache_creation_tokens = usage_imported.cache_creation_tokens + excluded.cache_creation_tokens,
        cache_read_tokens = usage_imported.cache_read_tokens + excluded.cache_read_tokens,
        total_tokens = usage_imported.total_tokens + excluded.total_tokens,
        cost = usage_imported.cost + excluded.cost
)
SELECT FROM old;
