-- name: APIKeyCopyList :many
-- The keys whole, deleted ones included, in the order of the primary key. At most
-- row_limit rows.
SELECT sqlc.embed(k), l.last_used_at
FROM api_keys k
LEFT JOIN api_key_last_used l ON l.api_key_id = k.id
WHERE k.id > @after
ORDER BY k.id
LIMIT @row_limit;

-- name: APIKeyCopyCount :one
-- How many keys APIKeyCopyList gives in all. One row.
SELECT count(*) FROM api_keys;

-- name: APIKeyCopyGaps :exec
-- Deletes softly the keys between two ids that are none of @ids, by the primary key.
UPDATE api_keys SET deleted_at = @now::timestamptz, updated_at = greatest(updated_at, @now::timestamptz), is_active = false
WHERE id > @after AND id <= @upto AND id <> ALL (@ids::uuid[]) AND deleted_at IS NULL;

-- name: APIKeyCopyGiveWay :exec
-- Removes the keys that have a hash of another one, by both unique indexes: that one has
-- it now.
DELETE FROM api_keys k
USING ROWS FROM (unnest(@ids::uuid[]), unnest(@hashes::bytea[])) AS h(id, hash)
WHERE (k.hashed_key = h.hash OR k.legacy_hash = h.hash) AND k.id <> h.id;

-- name: APIKeyCopyForgetUse :exec
-- Forgets when keys were last used, by primary key.
DELETE FROM api_key_last_used WHERE api_key_id = ANY (@ids::uuid[]);
