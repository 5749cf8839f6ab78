-- +goose Up
-- A data type's primary may be a Redis in the legacy service's layout.
ALTER TABLE storage_strategies DROP CONSTRAINT storage_strategies_primary_storage_check;
ALTER TABLE storage_strategies ADD CONSTRAINT storage_strategies_primary_storage_check CHECK (primary_storage IN ('postgres', 'redis'));

-- Older binaries would go on writing to PostgreSQL.
UPDATE schema_compatibility SET oldest_binary = 11;

-- +goose Down
UPDATE schema_compatibility SET oldest_binary = 9;
DELETE FROM storage_strategies WHERE primary_storage = 'redis';
ALTER TABLE storage_strategies DROP CONSTRAINT storage_strategies_primary_storage_check;
ALTER TABLE storage_strategies ADD CONSTRAINT storage_strategies_primary_storage_check CHECK (primary_storage IN ('postgres'));
