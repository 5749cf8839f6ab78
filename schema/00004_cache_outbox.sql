-- +goose Up
-- What caches must forget: a row a changed key and hash, written by triggers in
-- the transaction of the change itself, so also for a change by hand. Whoever
-- drains it tells Redis and deletes the rows.
CREATE TABLE cache_outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text  NOT NULL,
    key        bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The heartbeat last sent to Redis, and to which server (its run_id). Who finds
-- another heartbeat or another server (a flush, a restart, a failover, however
-- little it lost) opens a new epoch: what Redis then still holds is void.
CREATE TABLE cache_heartbeat (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    beat     bigint NOT NULL,
    epoch    bigint NOT NULL,
    server   text NOT NULL
);
INSERT INTO cache_heartbeat (beat, epoch, server) VALUES (0, 0, '');

-- A statement's changes become one insert and one notification without payload.
-- TRUNCATE, and changes under session_replication_role = replica, fire no
-- triggers.
-- +goose StatementBegin
CREATE FUNCTION api_keys_to_outbox() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO cache_outbox (kind, key)
            SELECT 'apikey', h FROM after_rows, unnest(ARRAY[hashed_key, legacy_hash]) AS h WHERE h IS NOT NULL;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO cache_outbox (kind, key)
            SELECT 'apikey', h FROM before_rows, unnest(ARRAY[hashed_key, legacy_hash]) AS h WHERE h IS NOT NULL;
    ELSE
        INSERT INTO cache_outbox (kind, key)
            SELECT 'apikey', h FROM before_rows, unnest(ARRAY[hashed_key, legacy_hash]) AS h WHERE h IS NOT NULL
            UNION
            SELECT 'apikey', h FROM after_rows, unnest(ARRAY[hashed_key, legacy_hash]) AS h WHERE h IS NOT NULL;
    END IF;
    IF FOUND THEN
        NOTIFY relaystore_cache;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER api_keys_inserted AFTER INSERT ON api_keys
    REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION api_keys_to_outbox();
CREATE TRIGGER api_keys_updated AFTER UPDATE ON api_keys
    REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION api_keys_to_outbox();
CREATE TRIGGER api_keys_deleted AFTER DELETE ON api_keys
    REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION api_keys_to_outbox();

-- It runs with its owner's rights: a caller's temporary tables must not take the
-- place of ours.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION api_keys_to_outbox() SET search_path = %I, pg_temp', current_schema());
END $$;
-- +goose StatementEnd

UPDATE schema_compatibility SET oldest_binary = 4;

-- +goose Down
UPDATE schema_compatibility SET oldest_binary = 3;
DROP TRIGGER api_keys_deleted ON api_keys;
DROP TRIGGER api_keys_updated ON api_keys;
DROP TRIGGER api_keys_inserted ON api_keys;
DROP FUNCTION api_keys_to_outbox();
DROP TABLE cache_heartbeat;
DROP TABLE cache_outbox;
