-- +goose Up
-- How the processes store a data type, where somebody has switched it; without a row
-- the defaults hold. A switch raises the epoch. Processes compare whole rows, so that
-- a change by hand is followed, too. The primary is PostgreSQL until a later version
-- knows another one, which widens that check.
CREATE TABLE storage_strategies (
    data_type       text PRIMARY KEY CHECK (data_type IN ('apikey', 'account', 'usage', 'session')),
    primary_storage text    NOT NULL CHECK (primary_storage IN ('postgres')),
    enable_cache    boolean NOT NULL,
    cache_ttl       bigint  NOT NULL CHECK (cache_ttl BETWEEN 0 AND 604800), -- seconds
    read_strategy   text    NOT NULL CHECK (read_strategy IN ('cache_first', 'database_first', 'cache_only')),
    write_strategy  text    NOT NULL CHECK (write_strategy IN ('write_through', 'write_behind', 'write_around')),
    epoch           bigint  NOT NULL CHECK (epoch > 0),
    switched_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Older binaries would not follow a switch.
UPDATE schema_compatibility SET oldest_binary = 9;

-- +goose Down
UPDATE schema_compatibility SET oldest_binary = 7;
DROP TABLE storage_strategies;
