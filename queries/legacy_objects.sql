-- name: LegacyObjectsPut :exec
-- Writes objects over those of the same kind and id, by the primary key. They are
-- sorted, so that two writers never wait for each other crosswise.
INSERT INTO legacy_objects (kind, id, data)
SELECT o.kind, o.id, o.data
FROM ROWS FROM (unnest(@kinds::text[]), unnest(@ids::text[]), unnest(@data::bytea[])) AS o(kind, id, data)
ORDER BY o.kind, o.id
ON CONFLICT (kind, id) DO UPDATE SET data = excluded.data, updated_at = clock_timestamp();

-- name: LegacyObjectsList :many
-- The objects of a kind after an id, in their order, by the primary key. At most
-- row_limit rows, and none before which max_bytes have come.
SELECT id, data FROM (
    SELECT id, data, sum(octet_length(data)) OVER (ORDER BY id) - octet_length(data) AS before
    FROM (SELECT id, data FROM legacy_objects WHERE kind = @kind AND id > @after ORDER BY id LIMIT @row_limit) AS page
) AS counted
WHERE before < @max_bytes::bigint
ORDER BY id LIMIT @row_limit;

-- name: LegacyObjectsGet :many
-- Some objects of a kind, by the primary key. A row an id that there is.
SELECT id, data FROM legacy_objects
WHERE kind = @kind AND id = ANY (@ids::text[])
ORDER BY id LIMIT cardinality(@ids::text[]);

-- name: LegacyObjectKinds :many
-- How many objects of each kind there are: a row a kind, at most 10,000.
SELECT kind, count(*) AS objects FROM legacy_objects GROUP BY kind ORDER BY kind LIMIT 10000;

-- name: LegacyImportTry :one
-- Takes the turn of the one import, until the transaction ends, which may be long and
-- idle. One row.
SELECT (pg_try_advisory_xact_lock(@lock::bigint)
    AND set_config('idle_in_transaction_session_timeout', '0', true) = '0'
    AND CASE WHEN current_setting('transaction_timeout', true) IS NULL THEN true
        ELSE set_config('transaction_timeout', '0', true) = '0' END)::boolean AS mine;

-- name: LegacyImportHeld :exec
-- Tells whether the transaction of the turn is still there.
SELECT true;
