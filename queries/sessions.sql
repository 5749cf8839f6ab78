-- name: SessionInsert :exec
-- Stores a new session. One row.
INSERT INTO sessions (id, token_hash, user_id, user_type, session_data, ip_address, user_agent, created_at, expires_at)
VALUES (@id, @token_hash, @user_id, @user_type, @session_data, @ip_address, @user_agent, @created_at, @expires_at);

-- name: SessionGetByHash :one
-- What validation says of a session, by sessions_token_hash. At most one row.
SELECT user_id, user_type, session_data, expires_at FROM sessions WHERE token_hash = @token_hash;

-- name: SessionUpdate :one
-- Replaces what is given of a session that has not ended, by sessions_token_hash.
-- At most one row.
UPDATE sessions SET
    session_data = coalesce(sqlc.narg(session_data)::json, session_data),
    expires_at = coalesce(sqlc.narg(expires_at)::timestamptz, expires_at)
WHERE token_hash = @token_hash AND expires_at > @now
RETURNING expires_at;

-- name: SessionTouch :many
-- Extends sessions by touches that have waited in the journal, several a session perhaps:
-- to the latest end of those that nobody has shortened the session below since. One that
-- has ended stays so. It locks them in the order of their ids (no deadlock between flushes)
-- and tells which there are, and which it has extended. By sessions_token_hash. One row a
-- session.
WITH held AS (
    SELECT c.id, c.token_hash, c.expires_at FROM sessions c
    WHERE c.token_hash = ANY (@hashes::bytea[]) AND c.expires_at > @now ORDER BY c.id FOR UPDATE),
extended AS (
    UPDATE sessions s SET expires_at = t.ends
    FROM (
        SELECT h.id, max(u.ends) AS ends
        FROM ROWS FROM (unnest(@hashes::bytea[]), unnest(@seen::timestamptz[]), unnest(@ends::timestamptz[])) AS u(token_hash, seen, ends)
        JOIN held h ON h.token_hash = u.token_hash AND h.expires_at >= u.seen AND h.expires_at < u.ends
        GROUP BY h.id
    ) AS t
    WHERE s.id = t.id RETURNING s.id)
SELECT held.token_hash, (extended.id IS NOT NULL)::boolean AS extended FROM held LEFT JOIN extended ON extended.id = held.id;

-- name: SessionDeleteByHash :one
-- Deletes a session, ended or not, by sessions_token_hash. At most one row.
DELETE FROM sessions WHERE token_hash = @token_hash RETURNING id;

-- name: SessionDelete :one
-- The same by primary key. Returns the hash to evict. At most one row.
DELETE FROM sessions WHERE id = @id RETURNING token_hash;

-- name: SessionDeleteByUser :many
-- Deletes some of a user's sessions, by sessions_user_id, and returns the hashes to
-- evict. It waits for whoever changes one; the order keeps two of it from a
-- deadlock. An array, since a plan that is kept would join with the whole table. At
-- most row_limit rows.
DELETE FROM sessions WHERE id = ANY (ARRAY(
    SELECT c.id FROM sessions c WHERE c.user_id = @user_id ORDER BY c.id LIMIT @row_limit FOR UPDATE))
RETURNING token_hash;

-- name: SessionDeleteExpired :one
-- Deletes some sessions that ended between since and now, oldest first, and tells
-- how many and how far it came; the next call begins there, past index entries that
-- are dead but still seen by somebody's old snapshot. Any number may run at once: by
-- sessions_expires_at, without waiting. One row, at most row_limit deleted.
WITH gone AS (
    DELETE FROM sessions WHERE id = ANY (ARRAY(
        SELECT c.id FROM sessions c WHERE c.expires_at >= @since AND c.expires_at <= @now
        ORDER BY c.expires_at LIMIT @row_limit FOR UPDATE SKIP LOCKED))
    RETURNING expires_at)
SELECT count(*) AS deleted, coalesce(max(gone.expires_at), @since)::timestamptz AS reached FROM gone;

-- name: SessionCountExpired :one
-- How many sessions have ended, from sessions_expires_at alone. One row.
SELECT count(*) FROM sessions WHERE expires_at <= @now;

-- name: SessionList :many
-- The newest sessions before an id, by primary key. At most row_limit rows.
SELECT id, user_id, user_type, ip_address, user_agent, created_at, expires_at
FROM sessions WHERE id < @before ORDER BY id DESC LIMIT @row_limit;

-- name: SessionListByUser :many
-- The same of one user, by sessions_user_id. At most row_limit rows.
SELECT id, user_id, user_type, ip_address, user_agent, created_at, expires_at
FROM sessions WHERE user_id = @user_id AND id < @before ORDER BY id DESC LIMIT @row_limit;

-- name: SessionExport :many
-- The sessions behind an id, in the order of the primary key. At most row_limit rows.
SELECT id, token_hash, user_id, user_type, session_data, coalesce(host(ip_address), '')::text AS ip_address, user_agent, created_at, expires_at
FROM sessions WHERE id > @after ORDER BY id LIMIT @row_limit;

-- name: SessionCount :one
-- How many are stored. The whole table. One row.
SELECT count(*) FROM sessions;

-- name: SessionImport :exec
-- Makes sessions what they are at the source; one that is so already is left alone, and
-- tells no cache. By primary key. A row a session.
INSERT INTO sessions AS s (id, token_hash, user_id, user_type, session_data, ip_address, user_agent, created_at, expires_at)
SELECT u.id, u.token_hash, u.user_id, u.user_type, u.session_data::json, nullif(u.ip_address, '')::inet, u.user_agent, u.created_at, u.expires_at
FROM ROWS FROM (
    unnest(@ids::uuid[]), unnest(@token_hashes::bytea[]), unnest(@user_ids::text[]), unnest(@user_types::text[]), unnest(@session_data::text[]),
    unnest(@ip_addresses::text[]), unnest(@user_agents::text[]), unnest(@created_at::timestamptz[]), unnest(@expires_at::timestamptz[])
) AS u(id, token_hash, user_id, user_type, session_data, ip_address, user_agent, created_at, expires_at)
ON CONFLICT (id) DO UPDATE SET token_hash = excluded.token_hash, user_id = excluded.user_id, user_type = excluded.user_type,
    session_data = excluded.session_data, ip_address = excluded.ip_address, user_agent = excluded.user_agent,
    created_at = excluded.created_at, expires_at = excluded.expires_at
WHERE (s.token_hash, s.user_id, s.user_type, s.session_data::text, s.ip_address, s.user_agent, s.created_at, s.expires_at)
    IS DISTINCT FROM (excluded.token_hash, excluded.user_id, excluded.user_type, excluded.session_data::text, excluded.ip_address,
        excluded.user_agent, excluded.created_at, excluded.expires_at);

-- name: SessionImportGaps :exec
-- Deletes the sessions between two ids, the second one included, that the source has
-- not. By primary key.
DELETE FROM sessions WHERE id > @after AND id <= @upto AND id <> ALL (@ids::uuid[]);
