-- name: UsageEnsureMonth :exec
-- Makes the partition of a month where it is missing.
SELECT usage_ensure_month(@month::timestamptz);

-- name: UsageBatchAppend :execrows
-- The fast path: writes a batch of new records in one statement, the registry of
-- requestIds (in order, so that two batches never wait for each other crosswise),
-- the batch's pending row and the ledger. Nothing is written and UsageBatchInsert
-- has to sort it out when a requestId is registered already (unique_violation) or
-- one of the distinct keys does not exist (not_null_violation: then there is no
-- batch). storage_fence refuses an epoch that is over. It waits for a transaction
-- that has one of the requestIds for lock_timeout, then it is lock_not_available. Keys
-- are counted by their primary key, once a key, or, with keys_elsewhere, not at all.
WITH registered AS (
    INSERT INTO usage_requests (request_hash, recorded_on)
    SELECT h, (now() AT TIME ZONE 'UTC')::date
    FROM (SELECT set_config('lock_timeout', @lock_timeout::text, true)) AS patience
    CROSS JOIN unnest(@request_hashes::uuid[]) AS h
), batch AS (
    INSERT INTO usage_pending (batch_id, first_at, last_at, records)
    SELECT nextval('usage_batch_id'), @first_at, @last_at, cardinality(@ids::uuid[])
    WHERE storage_fence('usage', @epoch)
    RETURNING batch_id
)
INSERT INTO usage_records (occurred_at, id, api_key_id, account_id, batch_id, requests, input_tokens, output_tokens,
    cache_creation_tokens, cache_read_tokens, total_tokens, cost, account_type, model)
SELECT u.occurred_at, u.id, u.api_key_id, u.account_id,
    (SELECT b.batch_id FROM batch b
        WHERE @keys_elsewhere::boolean
            OR (SELECT count(*) FROM api_keys k WHERE k.id = ANY (@distinct_keys::uuid[])) = cardinality(@distinct_keys::uuid[])),
    u.requests, u.input_tokens, u.output_tokens, u.cache_creation_tokens, u.cache_read_tokens, u.total_tokens, u.cost,
    u.account_type, u.model
FROM ROWS FROM (
    unnest(@ids::uuid[]), unnest(@occurred_at::timestamptz[]),
    unnest(@api_key_ids::uuid[]), unnest(@account_ids::uuid[]), unnest(@account_types::text[]), unnest(@models::text[]),
    unnest(@requests::bigint[]), unnest(@input_tokens::bigint[]), unnest(@output_tokens::bigint[]),
    unnest(@cache_creation_tokens::bigint[]), unnest(@cache_read_tokens::bigint[]), unnest(@total_tokens::bigint[]),
    unnest(@costs::numeric[])
) AS u(id, occurred_at, api_key_id, account_id, account_type, model,
    requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost);

-- name: UsageRecordAppend :exec
-- UsageBatchAppend of one record: without arrays it takes a sixth less time. The nil
-- UUID stands for no requestId.
WITH registered AS (
    INSERT INTO usage_requests (request_hash, recorded_on)
    SELECT @request_hash::uuid, (now() AT TIME ZONE 'UTC')::date
    FROM (SELECT set_config('lock_timeout', @lock_timeout::text, true)) AS patience
    WHERE @request_hash::uuid <> '00000000-0000-0000-0000-000000000000'
), batch AS (
    INSERT INTO usage_pending (batch_id, first_at, last_at, records)
    SELECT nextval('usage_batch_id'), @occurred_at, @occurred_at, 1
    WHERE storage_fence('usage', @epoch)
    RETURNING batch_id
)
INSERT INTO usage_records (occurred_at, id, api_key_id, account_id, batch_id, requests, input_tokens, output_tokens,
    cache_creation_tokens, cache_read_tokens, total_tokens, cost, account_type, model)
VALUES (@occurred_at, @id, @api_key_id, @account_id,
    (SELECT b.batch_id FROM batch b WHERE @keys_elsewhere::boolean OR EXISTS (SELECT FROM api_keys k WHERE k.id = @api_key_id)),
    @requests, @input_tokens, @output_tokens, @cache_creation_tokens, @cache_read_tokens, @total_tokens, @cost,
    @account_type, @model);

-- name: UsageBatchInsert :many
-- Writes a batch of records in one statement: the registry of requestIds, the
-- ledger and the batch's pending row. A record is left out when its key does
-- not exist, when its requestId is registered already, or when it is stored
-- already (a repeat after a lost acknowledgement keeps its id). The nil UUID
-- stands for no requestId; the requestIds of one batch are distinct. Hashes are
-- inserted in order, so that two batches never wait for each other crosswise.
-- lock_timeout is as in UsageBatchAppend; '' leaves it to the transaction. One row a
-- record, in any order.
WITH input AS (
    SELECT u.id, u.request_hash, u.occurred_at, u.api_key_id, u.account_id, u.account_type, u.model,
        u.requests, u.input_tokens, u.output_tokens, u.cache_creation_tokens, u.cache_read_tokens, u.total_tokens, u.cost,
        (@keys_elsewhere::boolean OR EXISTS (SELECT FROM api_keys k WHERE k.id = u.api_key_id)) AS known
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
    SELECT i.request_hash, (now() AT TIME ZONE 'UTC')::date
    FROM (SELECT set_config('lock_timeout', coalesce(nullif(@lock_timeout::text, ''), current_setting('lock_timeout')), true)) AS patience
    CROSS JOIN input i
    WHERE i.known AND i.request_hash <> '00000000-0000-0000-0000-000000000000'
    ORDER BY i.request_hash
    ON CONFLICT (request_hash) DO NOTHING
    RETURNING request_hash
), batch AS (
    SELECT nextval('usage_batch_id')::bigint AS batch_id WHERE storage_fence('usage', @epoch)
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
    INSERT INTO usage_pending (batch_id, first_at, last_at, records)
    SELECT w.batch_id, min(w.occurred_at), max(w.occurred_at), count(*) FROM written w GROUP BY w.batch_id
)
SELECT i.id::uuid AS id, i.known::boolean AS known,
    (w.id IS NOT NULL)::boolean AS written,
    (w.id IS NULL AND EXISTS (
        SELECT FROM usage_records r WHERE r.occurred_at = i.occurred_at AND r.id = i.id))::boolean AS stored_before
FROM input i LEFT JOIN written w ON w.id = i.id;

-- name: UsageCompact :one
-- Moves up to batch_limit pending batches into every tier of the rollups and
-- returns how many it took; mine is false where another process is at it, which
-- then takes none. The lock (the number means nothing, it is only this one's) ends
-- with the statement: rows that every batch changes are changed by one compactor at
-- a time. Where fewer records are found than the batches have, which a plan from
-- before a month was attached may do, it fails (division_by_zero) and has done
-- nothing. Batches' records are found by usage_records_batch, rows by primary keys. A
-- cell's counts fit a bigint, whose sums are cheaper: they are of 512 batches of up to
-- 1,024 records with less than 2⁴² tokens each. One row.
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(@lock::bigint) AS mine
), taken AS (
    DELETE FROM usage_pending WHERE batch_id IN (
        SELECT p.batch_id FROM usage_pending p WHERE (SELECT t.mine FROM turn t) ORDER BY p.batch_id LIMIT @batch_limit)
    RETURNING batch_id, first_at, last_at, records
), cells AS MATERIALIZED (
    SELECT r.api_key_id, date_bin('15 minutes', r.occurred_at, '2000-01-01T00:00:00Z') AS bucket, r.account_id, r.model,
        count(*) AS records, sum(r.requests)::bigint AS requests, sum(r.input_tokens)::bigint AS input_tokens, sum(r.output_tokens)::bigint AS output_tokens,
        sum(r.cache_creation_tokens)::bigint AS cache_creation_tokens, sum(r.cache_read_tokens)::bigint AS cache_read_tokens,
        sum(r.total_tokens)::bigint AS total_tokens, sum(r.cost) AS cost
    FROM taken t
    CROSS JOIN LATERAL (
        SELECT * FROM usage_records s WHERE s.batch_id = t.batch_id AND s.occurred_at BETWEEN t.first_at AND t.last_at
        OFFSET 0) AS r
    GROUP BY 1, 2, 3, 4
), quarters AS (
    INSERT INTO usage_rollups (api_key_id, bucket, account_id, model, records,
        requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost)
    SELECT c.api_key_id, c.bucket, c.account_id, c.model, c.records, c.requests, c.input_tokens, c.output_tokens,
        c.cache_creation_tokens, c.cache_read_tokens, c.total_tokens, c.cost
    FROM cells c
    ORDER BY 1, 2, 3, 4
    ON CONFLICT (api_key_id, bucket, account_id, model) DO UPDATE SET
        records = usage_rollups.records + excluded.records,
        requests = usage_rollups.requests + excluded.requests,
        input_tokens = usage_rollups.input_tokens + excluded.input_tokens,
        output_tokens = usage_rollups.output_tokens + excluded.output_tokens,
        cache_creation_tokens = usage_rollups.cache_creation_tokens + excluded.cache_creation_tokens,
        cache_read_tokens = usage_rollups.cache_read_tokens + excluded.cache_read_tokens,
        total_tokens = usage_rollups.total_tokens + excluded.total_tokens,
        cost = usage_rollups.cost + excluded.cost
), hours AS (
    INSERT INTO usage_rollups_hourly (api_key_id, bucket, account_id, model, records,
        requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost)
    SELECT c.api_key_id, date_bin('1 hour', c.bucket, '2000-01-01T00:00:00Z'), c.account_id, c.model, sum(c.records), sum(c.requests), sum(c.input_tokens), sum(c.output_tokens),
        sum(c.cache_creation_tokens), sum(c.cache_read_tokens), sum(c.total_tokens), sum(c.cost)
    FROM cells c
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (api_key_id, bucket, account_id, model) DO UPDATE SET
        records = usage_rollups_hourly.records + excluded.records,
        requests = usage_rollups_hourly.requests + excluded.requests,
        input_tokens = usage_rollups_hourly.input_tokens + excluded.input_tokens,
        output_tokens = usage_rollups_hourly.output_tokens + excluded.output_tokens,
        cache_creation_tokens = usage_rollups_hourly.cache_creation_tokens + excluded.cache_creation_tokens,
        cache_read_tokens = usage_rollups_hourly.cache_read_tokens + excluded.cache_read_tokens,
        total_tokens = usage_rollups_hourly.total_tokens + excluded.total_tokens,
        cost = usage_rollups_hourly.cost + excluded.cost
), days AS (
    INSERT INTO usage_rollups_daily (api_key_id, bucket, account_id, model, records,
        requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost)
    SELECT c.api_key_id, date_bin('1 day', c.bucket, '2000-01-01T00:00:00Z'), c.account_id, c.model, sum(c.records), sum(c.requests), sum(c.input_tokens), sum(c.output_tokens),
        sum(c.cache_creation_tokens), sum(c.cache_read_tokens), sum(c.total_tokens), sum(c.cost)
    FROM cells c
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (api_key_id, bucket, account_id, model) DO UPDATE SET
        records = usage_rollups_daily.records + excluded.records,
        requests = usage_rollups_daily.requests + excluded.requests,
        input_tokens = usage_rollups_daily.input_tokens + excluded.input_tokens,
        output_tokens = usage_rollups_daily.output_tokens + excluded.output_tokens,
        cache_creation_tokens = usage_rollups_daily.cache_creation_tokens + excluded.cache_creation_tokens,
        cache_read_tokens = usage_rollups_daily.cache_read_tokens + excluded.cache_read_tokens,
        total_tokens = usage_rollups_daily.total_tokens + excluded.total_tokens,
        cost = usage_rollups_daily.cost + excluded.cost
), everybody AS (
    INSERT INTO usage_rollups_global (bucket, model, records,
        requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost)
    SELECT c.bucket, c.model, sum(c.records), sum(c.requests), sum(c.input_tokens), sum(c.output_tokens),
        sum(c.cache_creation_tokens), sum(c.cache_read_tokens), sum(c.total_tokens), sum(c.cost)
    FROM cells c
    GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (bucket, model) DO UPDATE SET
        records = usage_rollups_global.records + excluded.records,
        requests = usage_rollups_global.requests + excluded.requests,
        input_tokens = usage_rollups_global.input_tokens + excluded.input_tokens,
        output_tokens = usage_rollups_global.output_tokens + excluded.output_tokens,
        cache_creation_tokens = usage_rollups_global.cache_creation_tokens + excluded.cache_creation_tokens,
        cache_read_tokens = usage_rollups_global.cache_read_tokens + excluded.cache_read_tokens,
        total_tokens = usage_rollups_global.total_tokens + excluded.total_tokens,
        cost = usage_rollups_global.cost + excluded.cost
), everybody_daily AS (
    INSERT INTO usage_rollups_global_daily (bucket, model, records,
        requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost)
    SELECT date_bin('1 day', c.bucket, '2000-01-01T00:00:00Z'), c.model, sum(c.records), sum(c.requests), sum(c.input_tokens), sum(c.output_tokens),
        sum(c.cache_creation_tokens), sum(c.cache_read_tokens), sum(c.total_tokens), sum(c.cost)
    FROM cells c
    GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (bucket, model) DO UPDATE SET
        records = usage_rollups_global_daily.records + excluded.records,
        requests = usage_rollups_global_daily.requests + excluded.requests,
        input_tokens = usage_rollups_global_daily.input_tokens + excluded.input_tokens,
        output_tokens = usage_rollups_global_daily.output_tokens + excluded.output_tokens,
        cache_creation_tokens = usage_rollups_global_daily.cache_creation_tokens + excluded.cache_creation_tokens,
        cache_read_tokens = usage_rollups_global_daily.cache_read_tokens + excluded.cache_read_tokens,
        total_tokens = usage_rollups_global_daily.total_tokens + excluded.total_tokens,
        cost = usage_rollups_global_daily.cost + excluded.cost
), totals AS (
    INSERT INTO usage_totals (kind, id, records,
        requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost)
    SELECT s.kind, s.id, sum(c.records), sum(c.requests), sum(c.input_tokens), sum(c.output_tokens),
        sum(c.cache_creation_tokens), sum(c.cache_read_tokens), sum(c.total_tokens), sum(c.cost)
    FROM cells c CROSS JOIN LATERAL (VALUES ('account', c.account_id), ('key', c.api_key_id)) AS s(kind, id)
    GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (kind, id) DO UPDATE SET
        records = usage_totals.records + excluded.records,
        requests = usage_totals.requests + excluded.requests,
        input_tokens = usage_totals.input_tokens + excluded.input_tokens,
        output_tokens = usage_totals.output_tokens + excluded.output_tokens,
        cache_creation_tokens = usage_totals.cache_creation_tokens + excluded.cache_creation_tokens,
        cache_read_tokens = usage_totals.cache_read_tokens + excluded.cache_read_tokens,
        total_tokens = usage_totals.total_tokens + excluded.total_tokens,
        cost = usage_totals.cost + excluded.cost
), months AS (
    INSERT INTO usage_months (month, records)
    SELECT date_trunc('month', c.bucket, 'UTC'), sum(c.records)
    FROM cells c
    GROUP BY 1 ORDER BY 1
    ON CONFLICT (month) DO UPDATE SET records = usage_months.records + excluded.records
)
SELECT (SELECT t.mine FROM turn t)::boolean AS mine,
    ((SELECT count(*) FROM taken) / (CASE
        WHEN (SELECT coalesce(sum(t.records), 0) FROM taken t) = (SELECT coalesce(sum(c.records), 0) FROM cells c) THEN 1 ELSE 0
    END))::bigint AS taken;

-- name: UsageRequestTrim :execrows
-- Forgets up to row_limit requestIds recorded before a day, by
-- usage_requests_recorded_on. Rows that another process trims are passed over.
DELETE FROM usage_requests WHERE request_hash IN (
    SELECT q.request_hash FROM usage_requests q WHERE q.recorded_on < @before LIMIT @row_limit FOR UPDATE SKIP LOCKED);

-- name: UsageStatsByKey :many
-- Sums per interval between bounds, model and (by group_by) key or account. Whole
-- cells come from the tiers, each over its own ranges, plus pending batches; cells
-- that a bound cuts (torn) from the records; one statement, so one snapshot. OFFSET
-- 0 lets the planner read only by the range: else it may read all of it (540,000
-- records in 90 ms). One key: primary keys of the tiers, usage_records_batch. At most
-- row_limit rows.
SELECT
    greatest(width_bucket(c.at, @bounds::timestamptz[]), 1)::int AS slot,
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
    FROM ROWS FROM (unnest(@tiers::text[]), unnest(@lows::timestamptz[]), unnest(@highs::timestamptz[])) AS s(tier, low, high)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_rollups_tiers v
        WHERE v.api_key_id = @api_key_id AND v.tier = s.tier AND v.bucket >= s.low AND v.bucket < s.high
        OFFSET 0) AS u
    UNION ALL
    SELECT p.occurred_at, p.api_key_id, p.account_id, p.model,
        p.requests, p.input_tokens, p.output_tokens, p.cache_creation_tokens, p.cache_read_tokens, p.total_tokens, p.cost
    FROM usage_pending b
    CROSS JOIN LATERAL (
        SELECT * FROM usage_records q
        WHERE q.batch_id = b.batch_id AND q.api_key_id = @api_key_id AND q.occurred_at BETWEEN b.first_at AND b.last_at
        OFFSET 0) AS p
    WHERE b.last_at >= @range_start AND b.first_at < @range_end AND p.occurred_at >= @range_start AND p.occurred_at < @range_end
        AND date_bin('15 minutes', p.occurred_at, '2000-01-01T00:00:00Z') <> ALL (@torn::timestamptz[])
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
-- UsageStatsByKey for one account over all keys: usage_rollups_account and its like.
-- At most row_limit rows.
SELECT
    greatest(width_bucket(c.at, @bounds::timestamptz[]), 1)::int AS slot,
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
    FROM ROWS FROM (unnest(@tiers::text[]), unnest(@lows::timestamptz[]), unnest(@highs::timestamptz[])) AS s(tier, low, high)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_rollups_tiers v
        WHERE v.account_id = @account_id AND v.tier = s.tier AND v.bucket >= s.low AND v.bucket < s.high
        OFFSET 0) AS u
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

-- name: UsageStatsByBucket :many
-- UsageStatsByKey over all keys and accounts, told apart: usage_rollups_bucket and
-- its like. Tokens are summed where they are asked for, 0 else: each sum of 69,000
-- rows takes 2 ms. At most row_limit rows.
SELECT
    greatest(width_bucket(c.at, @bounds::timestamptz[]), 1)::int AS slot,
    c.model,
    (CASE @group_by::text WHEN 'apikey' THEN c.api_key_id WHEN 'account' THEN c.account_id
        ELSE '00000000-0000-0000-0000-000000000000'::uuid END)::uuid AS group_id,
    sum(c.requests)::bigint AS requests,
    coalesce(sum(c.input_tokens) FILTER (WHERE @tokens::boolean), 0)::bigint AS input_tokens,
    coalesce(sum(c.output_tokens) FILTER (WHERE @tokens::boolean), 0)::bigint AS output_tokens,
    coalesce(sum(c.cache_creation_tokens) FILTER (WHERE @tokens::boolean), 0)::bigint AS cache_creation_tokens,
    coalesce(sum(c.cache_read_tokens) FILTER (WHERE @tokens::boolean), 0)::bigint AS cache_read_tokens,
    coalesce(sum(c.total_tokens) FILTER (WHERE @tokens::boolean), 0)::bigint AS total_tokens,
    sum(c.cost)::numeric AS cost
FROM (
    SELECT u.bucket AS at, u.api_key_id, u.account_id, u.model,
        u.requests, u.input_tokens, u.output_tokens, u.cache_creation_tokens, u.cache_read_tokens, u.total_tokens, u.cost
    FROM ROWS FROM (unnest(@tiers::text[]), unnest(@lows::timestamptz[]), unnest(@highs::timestamptz[])) AS s(tier, low, high)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_rollups_tiers v
        WHERE v.tier = s.tier AND v.bucket >= s.low AND v.bucket < s.high
        OFFSET 0) AS u
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

-- name: UsageStatsGlobal :many
-- UsageStatsByBucket over all keys and accounts, summed up: the global tiers, by their
-- primary keys. At most row_limit rows.
SELECT
    greatest(width_bucket(c.at, @bounds::timestamptz[]), 1)::int AS slot,
    c.model,
    '00000000-0000-0000-0000-000000000000'::uuid AS group_id,
    sum(c.requests)::bigint AS requests,
    coalesce(sum(c.input_tokens) FILTER (WHERE @tokens::boolean), 0)::bigint AS input_tokens,
    coalesce(sum(c.output_tokens) FILTER (WHERE @tokens::boolean), 0)::bigint AS output_tokens,
    coalesce(sum(c.cache_creation_tokens) FILTER (WHERE @tokens::boolean), 0)::bigint AS cache_creation_tokens,
    coalesce(sum(c.cache_read_tokens) FILTER (WHERE @tokens::boolean), 0)::bigint AS cache_read_tokens,
    coalesce(sum(c.total_tokens) FILTER (WHERE @tokens::boolean), 0)::bigint AS total_tokens,
    sum(c.cost)::numeric AS cost
FROM (
    SELECT u.bucket AS at, u.model,
        u.requests, u.input_tokens, u.output_tokens, u.cache_creation_tokens, u.cache_read_tokens, u.total_tokens, u.cost
    FROM ROWS FROM (unnest(@tiers::text[]), unnest(@lows::timestamptz[]), unnest(@highs::timestamptz[])) AS s(tier, low, high)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_rollups_global_tiers v
        WHERE v.tier = s.tier AND v.bucket >= s.low AND v.bucket < s.high
        OFFSET 0) AS u
    UNION ALL
    SELECT p.occurred_at, p.model,
        p.requests, p.input_tokens, p.output_tokens, p.cache_creation_tokens, p.cache_read_tokens, p.total_tokens, p.cost
    FROM usage_pending_records p
    WHERE p.last_at >= @range_start AND p.first_at < @range_end
        AND p.occurred_at >= @range_start AND p.occurred_at < @range_end AND p.bucket <> ALL (@torn::timestamptz[])
    UNION ALL
    SELECT r.occurred_at, r.model,
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

-- name: UsageHorizon :one
-- From when records and rollups are complete, and whether figures of another service
-- stand beside them.
SELECT records_from, rollups_from, EXISTS (SELECT FROM usage_imported)::boolean AS imported FROM usage_horizon;

-- name: UsageHorizonAdvance :exec
-- Says that records before a time need not be there any more; never backwards.
UPDATE usage_horizon SET records_from = @records_from WHERE records_from < @records_from;

-- name: UsageRollupsHorizonAdvance :exec
-- The same for rollups, which reach at least as far back as the records do.
UPDATE usage_horizon SET rollups_from = @rollups_from WHERE rollups_from < @rollups_from;

-- name: UsageMonths :many
-- The months that have a partition and end before or at a time. From the catalog:
-- a row a month since 2000 at most.
SELECT m.low::timestamptz AS low FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
CROSS JOIN LATERAL (SELECT to_timestamp(substring(c.relname FROM '^usage_records_(\d{4}_\d{2})$'), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC' AS low) AS m
WHERE i.inhparent = 'usage_records'::regclass
    AND (m.low AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC' <= @before::timestamptz
ORDER BY m.low LIMIT 10000;

-- name: UsageMonthLock :one
-- Makes everybody wait for the ledger until the transaction ends; false where there
-- is no such month. It waits for those at work up to wait_ms.
SELECT usage_lock_month(@month::timestamptz, @wait_ms::int)::boolean AS locked;

-- name: UsageMonthDrop :one
-- Drops a locked month and gives the number of its records, -1 where some are pending.
SELECT usage_drop_month(@month::timestamptz)::bigint AS dropped;

-- name: UsageRecordsTrim :one
-- Deletes up to row_limit records from before a time that are in the rollups, in
-- the order of time, by the partitions' primary keys, and gives how many. Rows that
-- another process deletes are passed over.
WITH old AS (
    SELECT r.occurred_at, r.id FROM usage_records r
    WHERE r.occurred_at >= @since AND r.occurred_at < @before AND NOT EXISTS (SELECT FROM usage_pending p WHERE p.batch_id = r.batch_id)
    ORDER BY r.occurred_at, r.id LIMIT @row_limit FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM usage_records d USING old o
    WHERE d.occurred_at = o.occurred_at AND d.id = o.id AND d.occurred_at >= @since AND d.occurred_at < @before
    RETURNING date_trunc('month', d.occurred_at, 'UTC') AS month
), counted AS (
    UPDATE usage_months m SET records = m.records - g.records
    FROM (SELECT n.month, count(*) AS records FROM gone n GROUP BY n.month) AS g
    WHERE m.month = g.month
)
SELECT count(*) AS deleted FROM gone;

-- name: UsageRemaining :one
-- How many records there are, in the rollups and pending.
SELECT ((SELECT coalesce(sum(m.records), 0) FROM usage_months m)
    + (SELECT coalesce(sum(p.records), 0) FROM usage_pending p))::bigint AS remaining;

-- name: UsageRollupsTrim :execrows
-- Deletes up to row_limit rows of 15 minutes from before a time, by
-- usage_rollups_bucket.
DELETE FROM usage_rollups d USING (
    SELECT u.api_key_id, u.bucket, u.account_id, u.model FROM usage_rollups u WHERE u.bucket < @before LIMIT @row_limit FOR UPDATE SKIP LOCKED) AS old
WHERE d.api_key_id = old.api_key_id AND d.bucket = old.bucket AND d.account_id = old.account_id AND d.model = old.model;

-- name: UsageRollupsHourlyTrim :execrows
-- The same for hours.
DELETE FROM usage_rollups_hourly d USING (
    SELECT u.api_key_id, u.bucket, u.account_id, u.model FROM usage_rollups_hourly u WHERE u.bucket < @before LIMIT @row_limit FOR UPDATE SKIP LOCKED) AS old
WHERE d.api_key_id = old.api_key_id AND d.bucket = old.bucket AND d.account_id = old.account_id AND d.model = old.model;

-- name: UsageRollupsDailyTrim :execrows
-- The same for days.
DELETE FROM usage_rollups_daily d USING (
    SELECT u.api_key_id, u.bucket, u.account_id, u.model FROM usage_rollups_daily u WHERE u.bucket < @before LIMIT @row_limit FOR UPDATE SKIP LOCKED) AS old
WHERE d.api_key_id = old.api_key_id AND d.bucket = old.bucket AND d.account_id = old.account_id AND d.model = old.model;

-- name: UsageRollupsGlobalTrim :execrows
-- The same for everybody's 15 minutes, by the primary key.
DELETE FROM usage_rollups_global d USING (
    SELECT u.bucket, u.model FROM usage_rollups_global u WHERE u.bucket < @before LIMIT @row_limit FOR UPDATE SKIP LOCKED) AS old
WHERE d.bucket = old.bucket AND d.model = old.model;

-- name: UsageRollupsGlobalDailyTrim :execrows
-- The same for everybody's days.
DELETE FROM usage_rollups_global_daily d USING (
    SELECT u.bucket, u.model FROM usage_rollups_global_daily u WHERE u.bucket < @before LIMIT @row_limit FOR UPDATE SKIP LOCKED) AS old
WHERE d.bucket = old.bucket AND d.model = old.model;

-- name: UsageAccountTotals :many
-- Sums of all time of some accounts, over all keys: their rows of usage_totals and
-- usage_imported by the primary keys, plus pending batches. A row an account, by its id.
SELECT c.account_id, sum(c.requests)::bigint AS requests, sum(c.total_tokens)::bigint AS total_tokens, sum(c.cost)::numeric AS cost
FROM (
    SELECT t.id AS account_id, t.requests, t.total_tokens, t.cost FROM usage_totals t
    WHERE t.kind = 'account' AND t.id = ANY (@account_ids::uuid[])
    UNION ALL
    SELECT p.account_id, p.requests, p.total_tokens, p.cost FROM usage_pending_records p
    WHERE p.account_id = ANY (@account_ids::uuid[])
    UNION ALL
    SELECT s.id, s.requests, s.total_tokens, s.cost FROM usage_imported s
    WHERE s.scope = 'account' AND s.id = ANY (@account_ids::uuid[])
) AS c
GROUP BY c.account_id
LIMIT cardinality(@account_ids::uuid[]);

-- name: UsageSettings :exec
-- For the statements that follow in a transaction. Their plans look dear where a
-- partition has not been analyzed yet, and compiling them takes ten times as long as
-- running them (compactions of 1.2 s). A process that is stopped in
-- the middle must not keep the compactor's lock.
SELECT set_config('jit', 'off', true), set_config('idle_in_transaction_session_timeout', '10s', true);
