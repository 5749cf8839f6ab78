-- name: StorageStrategyList :many
-- What has been switched. Reads the whole table. At most one row a data type.
SELECT data_type, primary_storage, enable_cache, cache_ttl, read_strategy, write_strategy, epoch
FROM storage_strategies ORDER BY data_type LIMIT 16;

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
