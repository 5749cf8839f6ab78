-- name: StorageStateList :many
-- How each data type is stored: its primary and, where it has been switched, its
-- config. Reads both tables whole. One row a data type.
SELECT p.data_type, p.primary_storage, p.epoch AS fence, coalesce(p.step, '')::text AS step,
    coalesce(p.lease_expires_at <= clock_timestamp(), false)::boolean AS lapsed,
    (s.data_type IS NOT NULL)::boolean AS switched, coalesce(s.enable_cache, false)::boolean AS enable_cache,
    coalesce(s.cache_ttl, 0)::bigint AS cache_ttl, coalesce(s.read_strategy, '')::text AS read_strategy,
    coalesce(s.write_strategy, '')::text AS write_strategy, coalesce(s.epoch, 0)::bigint AS epoch
FROM storage_primaries p LEFT JOIN storage_strategies s USING (data_type) ORDER BY p.data_type LIMIT 16;

-- name: StorageStrategyLock :exec
-- Lets one switch of a data type at a time run, until its transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('relaystore storage strategy ' || @data_type::text, 0));

-- name: StorageStrategySet :one
-- Switches a data type and gives the new epoch. By primary key. One row.
INSERT INTO storage_strategies AS s (data_type, primary_storage, enable_cache, cache_ttl, read_strategy, write_strategy, epoch)
VALUES (@data_type, @primary_storage, @enable_cache, @cache_ttl, @read_strategy, @write_strategy, 1)
ON CONFLICT (data_type) DO UPDATE SET
    primary_storage = excluded.primary_storage, enable_cache = excluded.enable_cache, cache_ttl = excluded.cache_ttl,
    read_strategy = excluded.read_strategy, write_strategy = excluded.write_strategy,
    epoch = s.epoch + 1, switched_at = clock_timestamp()
RETURNING epoch;

-- name: StorageMoveBegin :execrows
-- Takes the lease for moving a data type's primary, whose writers wait from the commit
-- on. None where somebody has it, or where the primary has moved. By primary key. At
-- most one row.
UPDATE storage_primaries SET step = 'pausing', holder = @holder, began_at = clock_timestamp(), done = 0, total = 0,
    lease_expires_at = clock_timestamp() + make_interval(secs => @lease_seconds)
WHERE data_type = @data_type AND epoch = @epoch AND (step IS NULL OR lease_expires_at <= clock_timestamp());

-- name: StorageMoveRenew :execrows
-- Keeps the lease and tells how far the move is. None where it was given up meanwhile.
-- By primary key. At most one row.
UPDATE storage_primaries SET step = @step, done = @done, total = @total,
    lease_expires_at = clock_timestamp() + make_interval(secs => @lease_seconds)
WHERE data_type = @data_type AND holder = @holder;

-- name: StorageMoveDrained :one
-- Tells whether no transaction that has passed storage_fence is still open. One row.
SELECT pg_try_advisory_xact_lock(hashtextextended('relaystore storage fence ' || @data_type::text, 0));

-- name: StorageMoveFlip :one
-- Makes the other storage the primary and ends the move. No row where the lease was
-- given up. By primary key. At most one row.
UPDATE storage_primaries SET primary_storage = @primary_storage, epoch = epoch + 1,
    step = NULL, holder = NULL, lease_expires_at = NULL, began_at = NULL
WHERE data_type = @data_type AND holder = @holder AND step = 'verifying'
RETURNING epoch;

-- name: StorageMoveEnd :exec
-- Gives a move up: the primary stays. By primary key. At most one row.
UPDATE storage_primaries SET step = NULL, holder = NULL, lease_expires_at = NULL, began_at = NULL
WHERE data_type = @data_type AND holder = @holder;

-- name: StorageMoveLapse :exec
-- Gives up the moves whose holders have stopped renewing their leases. The whole
-- table. At most one row a data type.
UPDATE storage_primaries SET step = NULL, holder = NULL, lease_expires_at = NULL, began_at = NULL
WHERE step IS NOT NULL AND lease_expires_at <= clock_timestamp();

-- name: StorageMoveList :many
-- The moves that are under way. The whole table. At most one row a data type.
SELECT data_type, primary_storage, coalesce(step, '')::text AS step, done, total, began_at, lease_expires_at
FROM storage_primaries WHERE step IS NOT NULL ORDER BY data_type LIMIT 16;

-- name: StorageHolds :one
-- Tells whether PostgreSQL has anything of a data type. One index entry a table. One
-- row.
SELECT (CASE @data_type::text
    WHEN 'apikey' THEN EXISTS (SELECT FROM api_keys)
    WHEN 'account' THEN EXISTS (SELECT FROM accounts)
    WHEN 'session' THEN EXISTS (SELECT FROM sessions)
    ELSE EXISTS (SELECT FROM usage_totals) OR EXISTS (SELECT FROM usage_pending) OR EXISTS (SELECT FROM usage_records)
        OR EXISTS (SELECT FROM usage_imported)
END)::boolean AS holds;
