-- The queries of relaystore verify. Each compares one tier of the rollups with what it
-- sums up, in one statement and so in one snapshot: a batch is pending in it or in
-- every tier. What is before the horizon is right by definition: those records may be
-- gone. With repair, under UsageCompactorHold, cells that differ are replaced, and no
-- other one.

-- name: UsageCompactorHold :exec
-- Makes every compactor pass until the transaction ends, and waits for one at work.
-- The next statement of the transaction sees what that one has done.
SELECT pg_advisory_xact_lock(@lock::bigint);

-- name: UsageVerifyNext :one
-- The first time from after on of which a record or a rollup is kept, by the indexes on
-- time; no row where nothing is. One row.
SELECT min(e.at)::timestamptz AS at FROM (
    SELECT min(r.occurred_at) AS at FROM usage_records r WHERE r.occurred_at >= @after
    UNION ALL SELECT min(q.bucket) AS at FROM usage_rollups q WHERE q.bucket >= @after
    UNION ALL SELECT min(h.bucket) AS at FROM usage_rollups_hourly h WHERE h.bucket >= @after
    UNION ALL SELECT min(d.bucket) AS at FROM usage_rollups_daily d WHERE d.bucket >= @after
    UNION ALL SELECT min(g.bucket) AS at FROM usage_rollups_global g WHERE g.bucket >= @after
    UNION ALL SELECT min(y.bucket) AS at FROM usage_rollups_global_daily y WHERE y.bucket >= @after
) AS e
HAVING count(e.at) > 0;

-- name: UsageVerifyLast :one
-- The last time of which a record or a rollup is kept, by the indexes on time. One row
-- or none.
SELECT max(e.at)::timestamptz AS at FROM (
    SELECT max(r.occurred_at) AS at FROM usage_records r
    UNION ALL SELECT max(q.bucket) AS at FROM usage_rollups q
    UNION ALL SELECT max(h.bucket) AS at FROM usage_rollups_hourly h
    UNION ALL SELECT max(d.bucket) AS at FROM usage_rollups_daily d
    UNION ALL SELECT max(g.bucket) AS at FROM usage_rollups_global g
    UNION ALL SELECT max(y.bucket) AS at FROM usage_rollups_global_daily y
) AS e
HAVING count(e.at) > 0;

-- name: UsageVerifyQuarters :many
-- usage_rollups between two quarters of an hour and their records, both read by time
-- (usage_records' primary key, usage_rollups_bucket). A row a wrong cell, at most
-- row_limit; wrong is how many there are.
WITH listed AS (
    SELECT date_bin('15 minutes', r.occurred_at, '2000-01-01T00:00:00Z') AS bucket, r.api_key_id, r.account_id, r.model,
        count(*) AS records,
        sum(r.requests) AS requests, sum(r.input_tokens) AS input_tokens, sum(r.output_tokens) AS output_tokens,
        sum(r.cache_creation_tokens) AS cache_creation_tokens, sum(r.cache_read_tokens) AS cache_read_tokens,
        sum(r.total_tokens) AS total_tokens, sum(r.cost) AS cost
    FROM usage_records r
    WHERE r.occurred_at >= @low AND r.occurred_at < @high
        AND NOT EXISTS (SELECT FROM usage_pending p WHERE p.batch_id = r.batch_id)
    GROUP BY 1, 2, 3, 4
), wrong AS (
    SELECT coalesce(l.api_key_id, s.api_key_id) AS api_key_id, coalesce(l.bucket, s.bucket) AS bucket,
        coalesce(l.account_id, s.account_id) AS account_id, coalesce(l.model, s.model) AS model,
        l.records, l.requests, l.input_tokens, l.output_tokens,
        l.cache_creation_tokens, l.cache_read_tokens, l.total_tokens, l.cost,
        s.records IS NULL AS missing
    FROM listed l
    FULL JOIN (SELECT * FROM usage_rollups t WHERE t.bucket >= @low AND t.bucket < @high) AS s
        ON s.api_key_id = l.api_key_id AND s.bucket = l.bucket AND s.account_id = l.account_id AND s.model = l.model
    WHERE (l.records, l.requests, l.input_tokens, l.output_tokens,
        l.cache_creation_tokens, l.cache_read_tokens, l.total_tokens, l.cost)
        IS DISTINCT FROM (s.records, s.requests, s.input_tokens, s.output_tokens,
        s.cache_creation_tokens, s.cache_read_tokens, s.total_tokens, s.cost)
        AND @low >= (SELECT greatest(h.records_from, h.rollups_from) FROM usage_horizon h)
), gone AS (
    DELETE FROM usage_rollups t USING wrong w
    WHERE @repair::boolean AND w.records IS NULL
        AND t.api_key_id = w.api_key_id AND t.bucket = w.bucket AND t.account_id = w.account_id AND t.model = w.model
), mended AS (
    INSERT INTO usage_rollups (api_key_id, bucket, account_id, model, records,
        requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost)
    SELECT w.api_key_id, w.bucket, w.account_id, w.model, w.records, w.requests, w.input_tokens, w.output_tokens,
        w.cache_creation_tokens, w.cache_read_tokens, w.total_tokens, w.cost
    FROM wrong w
    WHERE @repair::boolean AND w.records IS NOT NULL
    ON CONFLICT (api_key_id, bucket, account_id, model) DO UPDATE SET
        records = excluded.records,
        requests = excluded.requests,
        input_tokens = excluded.input_tokens,
        output_tokens = excluded.output_tokens,
        cache_creation_tokens = excluded.cache_creation_tokens,
        cache_read_tokens = excluded.cache_read_tokens,
        total_tokens = excluded.total_tokens,
        cost = excluded.cost
)
SELECT w.api_key_id::uuid AS api_key_id, w.account_id::uuid AS account_id, w.model::text AS model, w.bucket::timestamptz AS bucket,
    (CASE WHEN w.records IS NULL THEN 'extra' WHEN w.missing THEN 'missing' ELSE 'figures' END)::text AS fault,
    count(*) OVER () AS wrong
FROM wrong w
ORDER BY w.api_key_id, w.bucket, w.account_id, w.model
LIMIT @row_limit;

-- name: UsageVerifyHours :many
-- UsageVerifyQuarters for usage_rollups_hourly, between two hours, and usage_rollups;
-- from_records where those are wrong.
WITH base AS (
    SELECT b.bucket AS at, b.api_key_id, b.account_id, b.model, b.records, b.requests, b.input_tokens, b.output_tokens,
        b.cache_creation_tokens, b.cache_read_tokens, b.total_tokens, b.cost
    FROM usage_rollups b
    WHERE NOT @from_records::boolean AND b.bucket >= @low AND b.bucket < @high
    UNION ALL
    SELECT r.occurred_at, r.api_key_id, r.account_id, r.model, 1, r.requests, r.input_tokens, r.output_tokens,
        r.cache_creation_tokens, r.cache_read_tokens, r.total_tokens, r.cost
    FROM usage_records r
    WHERE @from_records::boolean AND r.occurred_at >= @low AND r.occurred_at < @high
        AND NOT EXISTS (SELECT FROM usage_pending p WHERE p.batch_id = r.batch_id)
), listed AS (
    SELECT date_trunc('hour', b.at, 'UTC') AS bucket, b.api_key_id, b.account_id, b.model, sum(b.records) AS records,
        sum(b.requests) AS requests, sum(b.input_tokens) AS input_tokens, sum(b.output_tokens) AS output_tokens,
        sum(b.cache_creation_tokens) AS cache_creation_tokens, sum(b.cache_read_tokens) AS cache_read_tokens,
        sum(b.total_tokens) AS total_tokens, sum(b.cost) AS cost
    FROM base b
    GROUP BY 1, 2, 3, 4
), wrong AS (
    SELECT coalesce(l.api_key_id, s.api_key_id) AS api_key_id, coalesce(l.bucket, s.bucket) AS bucket,
        coalesce(l.account_id, s.account_id) AS account_id, coalesce(l.model, s.model) AS model,
        l.records, l.requests, l.input_tokens, l.output_tokens,
        l.cache_creation_tokens, l.cache_read_tokens, l.total_tokens, l.cost,
        s.records IS NULL AS missing
    FROM listed l
    FULL JOIN (SELECT * FROM usage_rollups_hourly t WHERE t.bucket >= @low AND t.bucket < @high) AS s
        ON s.api_key_id = l.api_key_id AND s.bucket = l.bucket AND s.account_id = l.account_id AND s.model = l.model
    WHERE (l.records, l.requests, l.input_tokens, l.output_tokens,
        l.cache_creation_tokens, l.cache_read_tokens, l.total_tokens, l.cost)
        IS DISTINCT FROM (s.records, s.requests, s.input_tokens, s.output_tokens,
        s.cache_creation_tokens, s.cache_read_tokens, s.total_tokens, s.cost)
        AND @low >= (SELECT greatest(h.records_from, h.rollups_from) FROM usage_horizon h)
), gone AS (
    DELETE FROM usage_rollups_hourly t USING wrong w
    WHERE @repair::boolean AND w.records IS NULL
        AND t.api_key_id = w.api_key_id AND t.bucket = w.bucket AND t.account_id = w.account_id AND t.model = w.model
), mended AS (
    INSERT INTO usage_rollups_hourly (api_key_id, bucket, account_id, model, records,
        requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost)
    SELECT w.api_key_id, w.bucket, w.account_id, w.model, w.records, w.requests, w.input_tokens, w.output_tokens,
        w.cache_creation_tokens, w.cache_read_tokens, w.total_tokens, w.cost
    FROM wrong w
    WHERE @repair::boolean AND w.records IS NOT NULL
    ON CONFLICT (api_key_id, bucket, account_id, model) DO UPDATE SET
        records = excluded.records,
        requests = excluded.requests,
        input_tokens = excluded.input_tokens,
        output_tokens = excluded.output_tokens,
        cache_creation_tokens = excluded.cache_creation_tokens,
        cache_read_tokens = excluded.cache_read_tokens,
        total_tokens = excluded.total_tokens,
        cost = excluded.cost
)
SELECT w.api_key_id::uuid AS api_key_id, w.account_id::uuid AS account_id, w.model::text AS model, w.bucket::timestamptz AS bucket,
    (CASE WHEN w.records IS NULL THEN 'extra' WHEN w.missing THEN 'missing' ELSE 'figures' END)::text AS fault,
    count(*) OVER () AS wrong
FROM wrong w
ORDER BY w.api_key_id, w.bucket, w.account_id, w.model
LIMIT @row_limit;

-- name: UsageVerifyDays :many
-- UsageVerifyHours for usage_rollups_daily, between two UTC days, and
-- usage_rollups_hourly.
WITH base AS (
    SELECT b.bucket AS at, b.api_key_id, b.account_id, b.model, b.records, b.requests, b.input_tokens, b.output_tokens,
        b.cache_creation_tokens, b.cache_read_tokens, b.total_tokens, b.cost
    FROM usage_rollups_hourly b
    WHERE NOT @from_records::boolean AND b.bucket >= @low AND b.bucket < @high
    UNION ALL
    SELECT r.occurred_at, r.api_key_id, r.account_id, r.model, 1, r.requests, r.input_tokens, r.output_tokens,
        r.cache_creation_tokens, r.cache_read_tokens, r.total_tokens, r.cost
    FROM usage_records r
    WHERE @from_records::boolean AND r.occurred_at >= @low AND r.occurred_at < @high
        AND NOT EXISTS (SELECT FROM usage_pending p WHERE p.batch_id = r.batch_id)
), listed AS (
    SELECT date_trunc('day', b.at, 'UTC') AS bucket, b.api_key_id, b.account_id, b.model, sum(b.records) AS records,
        sum(b.requests) AS requests, sum(b.input_tokens) AS input_tokens, sum(b.output_tokens) AS output_tokens,
        sum(b.cache_creation_tokens) AS cache_creation_tokens, sum(b.cache_read_tokens) AS cache_read_tokens,
        sum(b.total_tokens) AS total_tokens, sum(b.cost) AS cost
    FROM base b
    GROUP BY 1, 2, 3, 4
), wrong AS (
    SELECT coalesce(l.api_key_id, s.api_key_id) AS api_key_id, coalesce(l.bucket, s.bucket) AS bucket,
        coalesce(l.account_id, s.account_id) AS account_id, coalesce(l.model, s.model) AS model,
        l.records, l.requests, l.input_tokens, l.output_tokens,
        l.cache_creation_tokens, l.cache_read_tokens, l.total_tokens, l.cost,
        s.records IS NULL AS missing
    FROM listed l
    FULL JOIN (SELECT * FROM usage_rollups_daily t WHERE t.bucket >= @low AND t.bucket < @high) AS s
        ON s.api_key_id = l.api_key_id AND s.bucket = l.bucket AND s.account_id = l.account_id AND s.model = l.model
    WHERE (l.records, l.requests, l.input_tokens, l.output_tokens,
        l.cache_creation_tokens, l.cache_read_tokens, l.total_tokens, l.cost)
        IS DISTINCT FROM (s.records, s.requests, s.input_tokens, s.output_tokens,
        s.cache_creation_tokens, s.cache_read_tokens, s.total_tokens, s.cost)
        AND @low >= (SELECT greatest(h.records_from, h.rollups_from) FROM usage_horizon h)
), gone AS (
    DELETE FROM usage_rollups_daily t USING wrong w
    WHERE @repair::boolean AND w.records IS NULL
        AND t.api_key_id = w.api_key_id AND t.bucket = w.bucket AND t.account_id = w.account_id AND t.model = w.model
), mended AS (
    INSERT INTO usage_rollups_daily (api_key_id, bucket, account_id, model, records,
        requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost)
    SELECT w.api_key_id, w.bucket, w.account_id, w.model, w.records, w.requests, w.input_tokens, w.output_tokens,
        w.cache_creation_tokens, w.cache_read_tokens, w.total_tokens, w.cost
    FROM wrong w
    WHERE @repair::boolean AND w.records IS NOT NULL
    ON CONFLICT (api_key_id, bucket, account_id, model) DO UPDATE SET
        records = excluded.records,
        requests = excluded.requests,
        input_tokens = excluded.input_tokens,
        output_tokens = excluded.output_tokens,
        cache_creation_tokens = excluded.cache_creation_tokens,
        cache_read_tokens = excluded.cache_read_tokens,
        total_tokens = excluded.total_tokens,
        cost = excluded.cost
)
SELECT w.api_key_id::uuid AS api_key_id, w.account_id::uuid AS account_id, w.model::text AS model, w.bucket::timestamptz AS bucket,
    (CASE WHEN w.records IS NULL THEN 'extra' WHEN w.missing THEN 'missing' ELSE 'figures' END)::text AS fault,
    count(*) OVER () AS wrong
FROM wrong w
ORDER BY w.api_key_id, w.bucket, w.account_id, w.model
LIMIT @row_limit;

-- name: UsageVerifyGlobal :many
-- UsageVerifyHours for usage_rollups_global, between two quarters of an hour, and
-- usage_rollups.
WITH base AS (
    SELECT b.bucket AS at, b.model, b.records, b.requests, b.input_tokens, b.output_tokens,
        b.cache_creation_tokens, b.cache_read_tokens, b.total_tokens, b.cost
    FROM usage_rollups b
    WHERE NOT @from_records::boolean AND b.bucket >= @low AND b.bucket < @high
    UNION ALL
    SELECT r.occurred_at, r.model, 1, r.requests, r.input_tokens, r.output_tokens,
        r.cache_creation_tokens, r.cache_read_tokens, r.total_tokens, r.cost
    FROM usage_records r
    WHERE @from_records::boolean AND r.occurred_at >= @low AND r.occurred_at < @high
        AND NOT EXISTS (SELECT FROM usage_pending p WHERE p.batch_id = r.batch_id)
), listed AS (
    SELECT date_bin('15 minutes', b.at, '2000-01-01T00:00:00Z') AS bucket, b.model, sum(b.records) AS records,
        sum(b.requests) AS requests, sum(b.input_tokens) AS input_tokens, sum(b.output_tokens) AS output_tokens,
        sum(b.cache_creation_tokens) AS cache_creation_tokens, sum(b.cache_read_tokens) AS cache_read_tokens,
        sum(b.total_tokens) AS total_tokens, sum(b.cost) AS cost
    FROM base b
    GROUP BY 1, 2
), wrong AS (
    SELECT coalesce(l.bucket, s.bucket) AS bucket, coalesce(l.model, s.model) AS model,
        l.records, l.requests, l.input_tokens, l.output_tokens,
        l.cache_creation_tokens, l.cache_read_tokens, l.total_tokens, l.cost,
        s.records IS NULL AS missing
    FROM listed l
    FULL JOIN (SELECT * FROM usage_rollups_global t WHERE t.bucket >= @low AND t.bucket < @high) AS s
        ON s.bucket = l.bucket AND s.model = l.model
    WHERE (l.records, l.requests, l.input_tokens, l.output_tokens,
        l.cache_creation_tokens, l.cache_read_tokens, l.total_tokens, l.cost)
        IS DISTINCT FROM (s.records, s.requests, s.input_tokens, s.output_tokens,
        s.cache_creation_tokens, s.cache_read_tokens, s.total_tokens, s.cost)
        AND @low >= (SELECT greatest(h.records_from, h.rollups_from) FROM usage_horizon h)
), gone AS (
    DELETE FROM usage_rollups_global t USING wrong w
    WHERE @repair::boolean AND w.records IS NULL AND t.bucket = w.bucket AND t.model = w.model
), mended AS (
    INSERT INTO usage_rollups_global (bucket, model, records,
        requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost)
    SELECT w.bucket, w.model, w.records, w.requests, w.input_tokens, w.output_tokens,
        w.cache_creation_tokens, w.cache_read_tokens, w.total_tokens, w.cost
    FROM wrong w
    WHERE @repair::boolean AND w.records IS NOT NULL
    ON CONFLICT (bucket, model) DO UPDATE SET
        records = excluded.records,
        requests = excluded.requests,
        input_tokens = excluded.input_tokens,
        output_tokens = excluded.output_tokens,
        cache_creation_tokens = excluded.cache_creation_tokens,
        cache_read_tokens = excluded.cache_read_tokens,
        total_tokens = excluded.total_tokens,
        cost = excluded.cost
)
SELECT '00000000-0000-0000-0000-000000000000'::uuid AS api_key_id, '00000000-0000-0000-0000-000000000000'::uuid AS account_id,
    w.model::text AS model, w.bucket::timestamptz AS bucket,
    (CASE WHEN w.records IS NULL THEN 'extra' WHEN w.missing THEN 'missing' ELSE 'figures' END)::text AS fault,
    count(*) OVER () AS wrong
FROM wrong w
ORDER BY w.bucket, w.model
LIMIT @row_limit;

-- name: UsageVerifyGlobalDays :many
-- UsageVerifyHours for usage_rollups_global_daily, between two UTC days, and
-- usage_rollups_global.
WITH base AS (
    SELECT b.bucket AS at, b.model, b.records, b.requests, b.input_tokens, b.output_tokens,
        b.cache_creation_tokens, b.cache_read_tokens, b.total_tokens, b.cost
    FROM usage_rollups_global b
    WHERE NOT @from_records::boolean AND b.bucket >= @low AND b.bucket < @high
    UNION ALL
    SELECT r.occurred_at, r.model, 1, r.requests, r.input_tokens, r.output_tokens,
        r.cache_creation_tokens, r.cache_read_tokens, r.total_tokens, r.cost
    FROM usage_records r
    WHERE @from_records::boolean AND r.occurred_at >= @low AND r.occurred_at < @high
        AND NOT EXISTS (SELECT FROM usage_pending p WHERE p.batch_id = r.batch_id)
), listed AS (
    SELECT date_trunc('day', b.at, 'UTC') AS bucket, b.model, sum(b.records) AS records,
        sum(b.requests) AS requests, sum(b.input_tokens) AS input_tokens, sum(b.output_tokens) AS output_tokens,
        sum(b.cache_creation_tokens) AS cache_creation_tokens, sum(b.cache_read_tokens) AS cache_read_tokens,
        sum(b.total_tokens) AS total_tokens, sum(b.cost) AS cost
    FROM base b
    GROUP BY 1, 2
), wrong AS (
    SELECT coalesce(l.bucket, s.bucket) AS bucket, coalesce(l.model, s.model) AS model,
        l.records, l.requests, l.input_tokens, l.output_tokens,
        l.cache_creation_tokens, l.cache_read_tokens, l.total_tokens, l.cost,
        s.records IS NULL AS missing
    FROM listed l
    FULL JOIN (SELECT * FROM usage_rollups_global_daily t WHERE t.bucket >= @low AND t.bucket < @high) AS s
        ON s.bucket = l.bucket AND s.model = l.model
    WHERE (l.records, l.requests, l.input_tokens, l.output_tokens,
        l.cache_creation_tokens, l.cache_read_tokens, l.total_tokens, l.cost)
        IS DISTINCT FROM (s.records, s.requests, s.input_tokens, s.output_tokens,
        s.cache_creation_tokens, s.cache_read_tokens, s.total_tokens, s.cost)
        AND @low >= (SELECT greatest(h.records_from, h.rollups_from) FROM usage_horizon h)
), gone AS (
    DELETE FROM usage_rollups_global_daily t USING wrong w
    WHERE @repair::boolean AND w.records IS NULL AND t.bucket = w.bucket AND t.model = w.model
), mended AS (
    INSERT INTO usage_rollups_global_daily (bucket, model, records,
        requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost)
    SELECT w.bucket, w.model, w.records, w.requests, w.input_tokens, w.output_tokens,
        w.cache_creation_tokens, w.cache_read_tokens, w.total_tokens, w.cost
    FROM wrong w
    WHERE @repair::boolean AND w.records IS NOT NULL
    ON CONFLICT (bucket, model) DO UPDATE SET
        records = excluded.records,
        requests = excluded.requests,
        input_tokens = excluded.input_tokens,
        output_tokens = excluded.output_tokens,
        cache_creation_tokens = excluded.cache_creation_tokens,
        cache_read_tokens = excluded.cache_read_tokens,
        total_tokens = excluded.total_tokens,
        cost = excluded.cost
)
SELECT '00000000-0000-0000-0000-000000000000'::uuid AS api_key_id, '00000000-0000-0000-0000-000000000000'::uuid AS account_id,
    w.model::text AS model, w.bucket::timestamptz AS bucket,
    (CASE WHEN w.records IS NULL THEN 'extra' WHEN w.missing THEN 'missing' ELSE 'figures' END)::text AS fault,
    count(*) OVER () AS wrong
FROM wrong w
ORDER BY w.bucket, w.model
LIMIT @row_limit;

-- name: UsageVerifyKeyRange :one
-- The key of the row that comes so many rows after the first one of low, by
-- usage_rollups_daily's primary key. One row, or none where there are fewer.
SELECT d.api_key_id FROM usage_rollups_daily d WHERE d.api_key_id >= @low ORDER BY d.api_key_id OFFSET @rows::int LIMIT 1;

-- name: UsageVerifyAccountRange :one
-- The account of the row that comes so many rows after the first one of low, by
-- usage_rollups_daily_account. One row, or none where there are fewer.
SELECT d.account_id FROM usage_rollups_daily d WHERE d.account_id >= @low ORDER BY d.account_id OFFSET @rows::int LIMIT 1;

-- name: UsageVerifyTotals :many
-- UsageVerifyHours for usage_totals of a kind, of ids from low to high, and
-- usage_rollups_daily, by its primary key or usage_rollups_daily_account; days that are
-- wrong there are read from the records. Only while no rollups were ever removed: they
-- count on in the totals.
WITH base AS (
    SELECT d.api_key_id AS id, d.records, d.requests, d.input_tokens, d.output_tokens,
        d.cache_creation_tokens, d.cache_read_tokens, d.total_tokens, d.cost
    FROM usage_rollups_daily d
    WHERE @kind::text = 'key' AND d.api_key_id >= @low AND d.api_key_id <= @high AND d.bucket <> ALL (@wrong_days::timestamptz[])
    UNION ALL
    SELECT d.account_id, d.records, d.requests, d.input_tokens, d.output_tokens,
        d.cache_creation_tokens, d.cache_read_tokens, d.total_tokens, d.cost
    FROM usage_rollups_daily d
    WHERE @kind::text = 'account' AND d.account_id >= @low AND d.account_id <= @high AND d.bucket <> ALL (@wrong_days::timestamptz[])
    UNION ALL
    SELECT (CASE @kind::text WHEN 'key' THEN r.api_key_id ELSE r.account_id END), 1, r.requests, r.input_tokens, r.output_tokens,
        r.cache_creation_tokens, r.cache_read_tokens, r.total_tokens, r.cost
    FROM unnest(@wrong_days::timestamptz[]) AS w(day)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_records q WHERE q.occurred_at >= w.day AND q.occurred_at < w.day + interval '24 hours'
        OFFSET 0) AS r
    WHERE NOT EXISTS (SELECT FROM usage_pending p WHERE p.batch_id = r.batch_id)
), listed AS (
    SELECT @kind::text AS kind, b.id, sum(b.records) AS records,
        sum(b.requests) AS requests, sum(b.input_tokens) AS input_tokens, sum(b.output_tokens) AS output_tokens,
        sum(b.cache_creation_tokens) AS cache_creation_tokens, sum(b.cache_read_tokens) AS cache_read_tokens,
        sum(b.total_tokens) AS total_tokens, sum(b.cost) AS cost
    FROM base b
    WHERE b.id >= @low AND b.id <= @high
    GROUP BY 2
), wrong AS (
    SELECT coalesce(l.kind, s.kind) AS kind, coalesce(l.id, s.id) AS id,
        l.records, l.requests, l.input_tokens, l.output_tokens,
        l.cache_creation_tokens, l.cache_read_tokens, l.total_tokens, l.cost,
        s.records IS NULL AS missing
    FROM listed l
    FULL JOIN (SELECT * FROM usage_totals t WHERE t.kind = @kind::text AND t.id >= @low AND t.id <= @high) AS s
        ON s.kind = l.kind AND s.id = l.id
    WHERE (l.records, l.requests, l.input_tokens, l.output_tokens,
        l.cache_creation_tokens, l.cache_read_tokens, l.total_tokens, l.cost)
        IS DISTINCT FROM (s.records, s.requests, s.input_tokens, s.output_tokens,
        s.cache_creation_tokens, s.cache_read_tokens, s.total_tokens, s.cost)
        AND NOT EXISTS (SELECT FROM usage_horizon h
            WHERE h.rollups_from > '2000-01-01Z' OR h.records_from > ANY (@wrong_days::timestamptz[]))
), gone AS (
    DELETE FROM usage_totals t USING wrong w
    WHERE @repair::boolean AND w.records IS NULL AND t.kind = w.kind AND t.id = w.id
), mended AS (
    INSERT INTO usage_totals (kind, id, records,
        requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost)
    SELECT w.kind, w.id, w.records, w.requests, w.input_tokens, w.output_tokens,
        w.cache_creation_tokens, w.cache_read_tokens, w.total_tokens, w.cost
    FROM wrong w
    WHERE @repair::boolean AND w.records IS NOT NULL
    ON CONFLICT (kind, id) DO UPDATE SET
        records = excluded.records,
        requests = excluded.requests,
        input_tokens = excluded.input_tokens,
        output_tokens = excluded.output_tokens,
        cache_creation_tokens = excluded.cache_creation_tokens,
        cache_read_tokens = excluded.cache_read_tokens,
        total_tokens = excluded.total_tokens,
        cost = excluded.cost
)
SELECT (CASE @kind::text WHEN 'key' THEN w.id ELSE '00000000-0000-0000-0000-000000000000'::uuid END)::uuid AS api_key_id,
    (CASE @kind::text WHEN 'key' THEN '00000000-0000-0000-0000-000000000000'::uuid ELSE w.id END)::uuid AS account_id,
    ''::text AS model, '2000-01-01Z'::timestamptz AS bucket,
    (CASE WHEN w.records IS NULL THEN 'extra' WHEN w.missing THEN 'missing' ELSE 'figures' END)::text AS fault,
    count(*) OVER () AS wrong
FROM wrong w
ORDER BY w.id
LIMIT @row_limit;

-- name: UsageVerifyMonths :many
-- usage_months and what the ledger has: the global days since the horizon, and the
-- records before it, which a clean-up has left. What is mended keeps what others have
-- changed meanwhile. A row a wrong month, at most row_limit.
WITH listed AS (
    SELECT b.month, sum(b.records) AS records FROM (
        SELECT date_trunc('month', g.bucket, 'UTC') AS month, g.records
        FROM usage_rollups_global_daily g
        WHERE g.bucket >= (SELECT h.records_from FROM usage_horizon h)
        UNION ALL
        SELECT date_trunc('month', r.occurred_at, 'UTC'), 1
        FROM usage_records r
        WHERE r.occurred_at < (SELECT h.records_from FROM usage_horizon h)
            AND NOT EXISTS (SELECT FROM usage_pending p WHERE p.batch_id = r.batch_id)
    ) AS b
    GROUP BY 1
), wrong AS (
    SELECT coalesce(l.month, m.month) AS month, coalesce(l.records, 0) - coalesce(m.records, 0) AS lacks, m.month IS NULL AS missing
    FROM listed l
    FULL JOIN usage_months m ON m.month = l.month
    WHERE coalesce(l.records, 0) <> coalesce(m.records, 0)
), mended AS (
    INSERT INTO usage_months AS m (month, records)
    SELECT w.month, greatest(w.lacks, 0) FROM wrong w WHERE @repair::boolean ORDER BY w.month
    ON CONFLICT (month) DO UPDATE SET records = m.records + (SELECT w.lacks FROM wrong w WHERE w.month = excluded.month)
)
SELECT w.month::timestamptz AS bucket, (CASE WHEN w.missing THEN 'missing' ELSE 'figures' END)::text AS fault, count(*) OVER () AS wrong
FROM wrong w
ORDER BY w.month
LIMIT @row_limit;
