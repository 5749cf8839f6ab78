-- name: UsageEnsureMonth :exec
-- Makes the partition of a month where it is missing.
SELECT usage_ensure_month(@month::timestamptz);

-- name: UsageBatchInsert :many
-- Writes a batch of records in one statement: the registry of requestIds, the
-- ledger and the batch's pending row. A record is left out when its key does
-- not exist, when its requestId is registered already, or when it is stored
-- already (a repeat after a lost acknowledgement keeps its id). The nil UUID
-- stands for no requestId; the requestIds of one batch are distinct. Hashes are
-- inserted in order, so that two batches never wait for each other crosswise.
-- One row a record, in any order.
WITH input AS (
    SELECT u.id, u.request_hash, u.occurred_at, u.api_key_id, u.account_id, u.account_type, u.model,
        u.requests, u.input_tokens, u.output_tokens, u.cache_creation_tokens, u.cache_read_tokens, u.total_tokens, u.cost,
        EXISTS (SELECT FROM api_keys k WHERE k.id = u.api_key_id) AS known
    FROM ROWS FROM (
        unnest(@ids::uuid[]), unnest(@request_hashes::uuid[]), unnest(@occurred_at::timestamptz[]),
        unnest(@api_key_ids::uuid[]), unnest(@account_ids::uuid[]), unnest(@account_types::text[]), unnest(@models::text[]),
        unnest(@requests::bigint[]), unnest(@input_tokens::bigint[]), unnest(@output_tokens::bigint[]),
        unnest(@cache_creation_tokens::bigint[]), unnest(@cache_read_tokens::bigint[]), unnest(@total_tokens::bigint[]),
        unnest(@costs::numeric[])
    ) AS u(id, request_hash, occurred_at, api_key_id, account_id, account_type, model,
        requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost)
), fresh AS (
    INSERT INTO usage_requests (request_hash, recorded_on)
    SELECT i.request_hash, (now() AT TIME ZONE 'UTC')::date FROM input i
    WHERE i.known AND i.request_hash <> '00000000-0000-0000-0000-000000000000'
    ORDER BY i.request_hash
    ON CONFLICT (request_hash) DO NOTHING
    RETURNING request_hash
), batch AS (
    SELECT nextval('usage_batch_id')::bigint AS batch_id
), written AS (
    INSERT INTO usage_records (occurred_at, id, api_key_id, account_id, batch_id, requests, input_tokens, output_tokens,
        cache_creation_tokens, cache_read_tokens, total_tokens, cost, account_type, model)
    SELECT i.occurred_at, i.id, i.api_key_id, i.account_id, b.batch_id, i.requests, i.input_tokens, i.output_tokens,
        i.cache_creation_tokens, i.cache_read_tokens, i.total_tokens, i.cost, i.account_type, i.model
    FROM input i CROSS JOIN batch b
    WHERE i.known AND (i.request_hash = '00000000-0000-0000-0000-000000000000'
        OR i.request_hash IN (SELECT f.request_hash FROM fresh f))
    ON CONFLICT (occurred_at, id) DO NOTHING
    RETURNING id, batch_id, occurred_at
), pending AS (
    INSERT INTO usage_pending (batch_id, first_at, last_at)
    SELECT w.batch_id, min(w.occurred_at), max(w.occurred_at) FROM written w GROUP BY w.batch_id
)
SELECT i.id::uuid AS id, i.known::boolean AS known,
    (w.id IS NOT NULL)::boolean AS written,
    (w.id IS NULL AND EXISTS (
        SELECT FROM usage_records r WHERE r.occurred_at = i.occurred_at AND r.id = i.id))::boolean AS stored_before
FROM input i LEFT JOIN written w ON w.id = i.id;

-- name: UsageCompact :one
-- Moves up to batch_limit pending batches into the rollups and returns how many
-- it took. Batches that another compactor holds are passed over; cells are
-- upserted in the order of the primary key (no deadlock). One row.
WITH taken AS (
    DELETE FROM usage_pending WHERE batch_id IN (
        SELECT p.batch_id FROM usage_pending p ORDER BY p.batch_id LIMIT @batch_limit FOR UPDATE SKIP LOCKED)
    RETURNING batch_id, first_at, last_at
), cells AS (
    INSERT INTO usage_rollups (api_key_id, account_id, bucket, model, records,
        requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost)
    SELECT r.api_key_id, r.account_id, date_bin('15 minutes', r.occurred_at, '2000-01-01T00:00:00Z') AS bucket, r.model, count(*),
        sum(r.requests), sum(r.input_tokens), sum(r.output_tokens),
        sum(r.cache_creation_tokens), sum(r.cache_read_tokens), sum(r.total_tokens), sum(r.cost)
    FROM taken t
    CROSS JOIN LATERAL (
        SELECT * FROM usage_records s WHERE s.batch_id = t.batch_id AND s.occurred_at BETWEEN t.first_at AND t.last_at
        OFFSET 0) AS r
    GROUP BY 1, 2, 3, 4
    ORDER BY 1, 3, 2, 4
    ON CONFLICT (api_key_id, bucket, account_id, model) DO UPDATE SET
        records = usage_rollups.records + excluded.records,
        requests = usage_rollups.requests + excluded.requests,
        input_tokens = usage_rollups.input_tokens + excluded.input_tokens,
        output_tokens = usage_rollups.output_tokens + excluded.output_tokens,
        cache_creation_tokens = usage_rollups.cache_creation_tokens + excluded.cache_creation_tokens,
        cache_read_tokens = usage_rollups.cache_read_tokens + excluded.cache_read_tokens,
        total_tokens = usage_rollups.total_tokens + excluded.total_tokens,
        cost = usage_rollups.cost + excluded.cost
)
SELECT count(*) FROM taken;

-- name: UsageRequestTrim :execrows
-- Forgets up to row_limit requestIds recorded before a day, by
-- usage_requests_recorded_on. Rows that another process trims are passed over.
DELETE FROM usage_requests WHERE request_hash IN (
    SELECT q.request_hash FROM usage_requests q WHERE q.recorded_on < @before LIMIT @row_limit FOR UPDATE SKIP LOCKED);

-- name: UsageStatsByKey :many
-- Sums per interval between bounds, model and (by group_by) key or account.
-- Whole 15-minute cells come from the rollups plus pending batches, cells that a
-- bound cuts (torn) from the records; one statement, so one snapshot. OFFSET 0
-- lets the planner read records only by the cell: else it may read those of the
-- whole range (540,000 in 90 ms).
-- One key: primary key of usage_rollups. At most row_limit rows.
SELECT
    width_bucket(c.at, @bounds::timestamptz[])::int AS slot,
    c.model,
    (CASE @group_by::text WHEN 'apikey' THEN c.api_key_id WHEN 'account' THEN c.account_id
        ELSE '00000000-0000-0000-0000-000000000000'::uuid END)::uuid AS group_id,
    sum(c.requests)::bigint AS requests,
    sum(c.input_tokens)::bigint AS input_tokens,
    sum(c.output_tokens)::bigint AS output_tokens,
    sum(c.cache_creation_tokens)::bigint AS cache_creation_tokens,
    sum(c.cache_read_tokens)::bigint AS cache_read_tokens,
    sum(c.total_tokens)::bigint AS total_tokens,
    sum(c.cost)::numeric AS cost
FROM (
    SELECT u.bucket AS at, u.api_key_id, u.account_id, u.model,
        u.requests, u.input_tokens, u.output_tokens, u.cache_creation_tokens, u.cache_read_tokens, u.total_tokens, u.cost
    FROM usage_rollups u
    WHERE u.api_key_id = @api_key_id AND u.bucket >= @range_start AND u.bucket < @range_end AND u.bucket <> ALL (@torn::timestamptz[])
    UNION ALL
    SELECT p.occurred_at, p.api_key_id, p.account_id, p.model,
        p.requests, p.input_tokens, p.output_tokens, p.cache_creation_tokens, p.cache_read_tokens, p.total_tokens, p.cost
    FROM usage_pending_records p
    WHERE p.last_at >= @range_start AND p.first_at < @range_end
        AND p.api_key_id = @api_key_id AND p.occurred_at >= @range_start AND p.occurred_at < @range_end AND p.bucket <> ALL (@torn::timestamptz[])
    UNION ALL
    SELECT r.occurred_at, r.api_key_id, r.account_id, r.model,
        r.requests, r.input_tokens, r.output_tokens, r.cache_creation_tokens, r.cache_read_tokens, r.total_tokens, r.cost
    FROM unnest(@torn::timestamptz[]) AS t(cell)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_records q
        WHERE q.api_key_id = @api_key_id AND q.occurred_at >= greatest(t.cell, @range_start) AND q.occurred_at < least(t.cell + interval '15 minutes', @range_end)
        OFFSET 0) AS r
) AS c
WHERE (sqlc.narg(account_id)::uuid IS NULL OR c.account_id = sqlc.narg(account_id)::uuid) AND (@model::text = '' OR c.model = @model::text)
GROUP BY 1, 2, 3
LIMIT @row_limit;

-- name: UsageStatsByAccount :many
-- UsageStatsByKey for one account over all keys: usage_rollups_account. At most
-- row_limit rows.
SELECT
    width_bucket(c.at, @bounds::timestamptz[])::int AS slot,
    c.model,
    (CASE @group_by::text WHEN 'apikey' THEN c.api_key_id WHEN 'account' THEN c.account_id
        ELSE '00000000-0000-0000-0000-000000000000'::uuid END)::uuid AS group_id,
    sum(c.requests)::bigint AS requests,
    sum(c.input_tokens)::bigint AS input_tokens,
    sum(c.output_tokens)::bigint AS output_tokens,
    sum(c.cache_creation_tokens)::bigint AS cache_creation_tokens,
    sum(c.cache_read_tokens)::bigint AS cache_read_tokens,
    sum(c.total_tokens)::bigint AS total_tokens,
    sum(c.cost)::numeric AS cost
FROM (
    SELECT u.bucket AS at, u.api_key_id, u.account_id, u.model,
        u.requests, u.input_tokens, u.output_tokens, u.cache_creation_tokens, u.cache_read_tokens, u.total_tokens, u.cost
    FROM usage_rollups u
    WHERE u.account_id = @account_id AND u.bucket >= @range_start AND u.bucket < @range_end AND u.bucket <> ALL (@torn::timestamptz[])
    UNION ALL
    SELECT p.occurred_at, p.api_key_id, p.account_id, p.model,
        p.requests, p.input_tokens, p.output_tokens, p.cache_creation_tokens, p.cache_read_tokens, p.total_tokens, p.cost
    FROM usage_pending_records p
    WHERE p.last_at >= @range_start AND p.first_at < @range_end
        AND p.account_id = @account_id AND p.occurred_at >= @range_start AND p.occurred_at < @range_end AND p.bucket <> ALL (@torn::timestamptz[])
    UNION ALL
    SELECT r.occurred_at, r.api_key_id, r.account_id, r.model,
        r.requests, r.input_tokens, r.output_tokens, r.cache_creation_tokens, r.cache_read_tokens, r.total_tokens, r.cost
    FROM unnest(@torn::timestamptz[]) AS t(cell)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_records q
        WHERE q.account_id = @account_id AND q.occurred_at >= greatest(t.cell, @range_start) AND q.occurred_at < least(t.cell + interval '15 minutes', @range_end)
        OFFSET 0) AS r
) AS c
WHERE (@model::text = '' OR c.model = @model::text)
GROUP BY 1, 2, 3
LIMIT @row_limit;

-- name: UsageStatsAll :many
-- UsageStatsByKey over all keys and accounts: usage_rollups_bucket. At most
-- row_limit rows.
SELECT
    width_bucket(c.at, @bounds::timestamptz[])::int AS slot,
    c.model,
    (CASE @group_by::text WHEN 'apikey' THEN c.api_key_id WHEN 'account' THEN c.account_id
        ELSE '00000000-0000-0000-0000-000000000000'::uuid END)::uuid AS group_id,
    sum(c.requests)::bigint AS requests,
    sum(c.input_tokens)::bigint AS input_tokens,
    sum(c.output_tokens)::bigint AS output_tokens,
    sum(c.cache_creation_tokens)::bigint AS cache_creation_tokens,
    sum(c.cache_read_tokens)::bigint AS cache_read_tokens,
    sum(c.total_tokens)::bigint AS total_tokens,
    sum(c.cost)::numeric AS cost
FROM (
    SELECT u.bucket AS at, u.api_key_id, u.account_id, u.model,
        u.requests, u.input_tokens, u.output_tokens, u.cache_creation_tokens, u.cache_read_tokens, u.total_tokens, u.cost
    FROM usage_rollups u
    WHERE u.bucket >= @range_start AND u.bucket < @range_end AND u.bucket <> ALL (@torn::timestamptz[])
    UNION ALL
    SELECT p.occurred_at, p.api_key_id, p.account_id, p.model,
        p.requests, p.input_tokens, p.output_tokens, p.cache_creation_tokens, p.cache_read_tokens, p.total_tokens, p.cost
    FROM usage_pending_records p
    WHERE p.last_at >= @range_start AND p.first_at < @range_end
        AND p.occurred_at >= @range_start AND p.occurred_at < @range_end AND p.bucket <> ALL (@torn::timestamptz[])
    UNION ALL
    SELECT r.occurred_at, r.api_key_id, r.account_id, r.model,
        r.requests, r.input_tokens, r.output_tokens, r.cache_creation_tokens, r.cache_read_tokens, r.total_tokens, r.cost
    FROM unnest(@torn::timestamptz[]) AS t(cell)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_records q
        WHERE q.occurred_at >= greatest(t.cell, @range_start) AND q.occurred_at < least(t.cell + interval '15 minutes', @range_end)
        OFFSET 0) AS r
) AS c
WHERE (@model::text = '' OR c.model = @model::text)
GROUP BY 1, 2, 3
LIMIT @row_limit;

-- name: UsageAccountTotals :many
-- Sums of all time an account: its rollups, by usage_rollups_account, plus its
-- records in pending batches, in one snapshot. One row an id that has any.
SELECT c.account_id,
    sum(c.requests)::bigint AS requests, sum(c.total_tokens)::bigint AS total_tokens, sum(c.cost)::numeric AS cost
FROM (
    SELECT u.account_id, u.requests, u.total_tokens, u.cost FROM usage_rollups u WHERE u.account_id = ANY (@ids::uuid[])
    UNION ALL
    SELECT p.account_id, p.requests, p.total_tokens, p.cost FROM usage_pending_records p WHERE p.account_id = ANY (@ids::uuid[])
) AS c
GROUP BY c.account_id;
