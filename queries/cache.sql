-- name: CacheOutboxTake :many
-- Takes the oldest changes that no other process is taking; the transaction that
-- took them deletes them, so a crash before its commit loses none. None for whoever
-- is connected to a Redis of another epoch, whom the others do not hear. By primary
-- key. At most row_limit rows.
DELETE FROM cache_outbox WHERE id IN (
    SELECT o.id FROM cache_outbox o ORDER BY o.id LIMIT @row_limit FOR UPDATE SKIP LOCKED)
    AND EXISTS (SELECT FROM cache_heartbeat h WHERE h.only_row AND h.epoch = @epoch)
RETURNING kind, key;

-- name: CacheOutboxState :one
-- Since when the oldest change waits, those included that another process is
-- taking, or now, also where the clock was set back meanwhile; and the database's
-- clock before this statement looked. One row.
SELECT least(min(o.created_at), statement_timestamp())::timestamptz AS oldest,
    statement_timestamp()::timestamptz AS now
FROM cache_outbox o;

-- name: CacheOutboxTrim :execrows
-- Drops changes that have waited for long; so the table stays small where no
-- process has a Redis. By primary key's order. At most row_limit rows.
DELETE FROM cache_outbox WHERE id IN (
    SELECT o.id FROM cache_outbox o WHERE o.created_at < clock_timestamp() - @keeps::interval ORDER BY o.id LIMIT @row_limit FOR UPDATE SKIP LOCKED);

-- name: CommitSoon :exec
-- Lets this transaction's commit reach the disk a little later: for changes that
-- are only done again when a crash undoes them.
SELECT set_config('synchronous_commit', 'off', true);

-- name: DatabaseClock :one
-- The database's clock. One row.
SELECT clock_timestamp()::timestamptz AS now;

-- name: CacheHeartbeatLock :one
-- The last heartbeat, locked so that one process at a time sends one; none where
-- another holds it. At most one row.
SELECT beat, epoch, server FROM cache_heartbeat WHERE only_row FOR UPDATE SKIP LOCKED;

-- name: CacheHeartbeatSet :exec
-- Notes the heartbeat that Redis has confirmed. One row.
UPDATE cache_heartbeat SET beat = @beat, epoch = @epoch, server = @server WHERE only_row;

-- name: CacheHeartbeatVoid :exec
-- Makes the next heartbeat open a new epoch: changes were dropped that Redis was
-- not told of. One row.
UPDATE cache_heartbeat SET server = '' WHERE only_row;

-- name: CacheOutboxWaiting :one
-- How many changes wait, counted up to row_limit, and since when the first of those
-- does, 0 without one. By primary key. One row.
SELECT count(*) AS waiting,
    coalesce(greatest(0, extract(epoch FROM statement_timestamp() - min(w.created_at)) * 1000000), 0)::bigint AS oldest_micros
FROM (SELECT o.created_at FROM cache_outbox o ORDER BY o.id LIMIT @row_limit) w;
