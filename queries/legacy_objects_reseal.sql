-- name: LegacyObjectsResealList :many
-- Objects that another key has sealed than the one of @prefix, after one of them, in
-- the order of the primary key. At most row_limit rows, and none before which max_bytes
-- have come.
SELECT kind, id, data FROM (
    SELECT kind, id, data, sum(octet_length(data)) OVER (ORDER BY kind, id) - octet_length(data) AS before
    FROM (
        SELECT kind, id, data FROM legacy_objects
        WHERE (kind, id) > (@after_kind::text, @after_id::text) AND substring(data FOR 5) <> @prefix::bytea
        ORDER BY kind, id LIMIT @row_limit
    ) AS page
) AS counted
WHERE before < @max_bytes::bigint
ORDER BY kind, id LIMIT @row_limit;

-- name: LegacyObjectReseal :execrows
-- Stores the same object under another key, unless it has been written since it was
-- read, by primary key. At most one row.
UPDATE legacy_objects SET data = @data WHERE kind = @kind AND id = @id AND data = @before;
