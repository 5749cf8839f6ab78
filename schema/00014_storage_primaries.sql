-- +goose Up
-- Where each data type's system of record is, and the switch that moves it, if one is
-- under way: from step on, writers wait; whoever holds the lease takes the next step.
-- The epoch counts the moves: who writes names the one that it knows.
CREATE TABLE storage_primaries (
    data_type       text PRIMARY KEY CHECK (data_type IN ('apikey', 'account', 'usage', 'session')),
    primary_storage text   NOT NULL DEFAULT 'postgres' CHECK (primary_storage IN ('postgres', 'redis')),
    epoch           bigint NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    step            text CHECK (step IN ('pausing', 'copying', 'verifying')),
    holder          uuid,
    lease_expires_at timestamptz,
    began_at        timestamptz,
    done            bigint NOT NULL DEFAULT 0,
    total           bigint NOT NULL DEFAULT 0,
    CONSTRAINT storage_primaries_step CHECK (num_nulls(step, holder, lease_expires_at, began_at) IN (0, 4)),
    UNIQUE (data_type, primary_storage) -- for the reference below
);
INSERT INTO storage_primaries (data_type) VALUES ('apikey'), ('account'), ('usage'), ('session');
UPDATE storage_primaries p SET primary_storage = s.primary_storage, epoch = s.epoch
    FROM storage_strategies s WHERE s.data_type = p.data_type AND s.primary_storage <> 'postgres';

-- A config has the primary that there is: a change by hand cannot lose the data.
ALTER TABLE storage_strategies ADD CONSTRAINT storage_strategies_primary
    FOREIGN KEY (data_type, primary_storage) REFERENCES storage_primaries (data_type, primary_storage) ON UPDATE CASCADE;

-- Lets a transaction write a data type only while PostgreSQL is the primary, at the
-- epoch that the writer knows, and nobody moves it; or, with a holder, for that
-- switch's copy. The lock makes a switch wait for the transactions that have passed
-- here; the query has a snapshot of its own, which is newer than the lock. Where the
-- transaction has one snapshot for all, the row's lock finds out that it is too old
-- (serialization_failure), and a move begins after it.
-- +goose StatementBegin
CREATE FUNCTION storage_fence(of_type text, at_epoch bigint, as_holder uuid DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    p storage_primaries;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('relaystore storage fence ' || of_type, 0));
    IF current_setting('transaction_isolation') = 'read committed' THEN
        SELECT * INTO p FROM storage_primaries s WHERE s.data_type = of_type;
    ELSE
        SELECT * INTO p FROM storage_primaries s WHERE s.data_type = of_type FOR SHARE;
    END IF;
    IF as_holder IS NOT NULL THEN
        IF p.holder = as_holder AND p.step = 'copying' THEN
            RETURN true;
        END IF;
    ELSIF p.primary_storage = 'postgres' AND p.epoch = at_epoch AND p.step IS NULL THEN
        RETURN true;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'RS001', MESSAGE = 'the primary of this data type is another one, or is being switched';
END $$;
-- +goose StatementEnd

-- Older binaries write without asking.
UPDATE schema_compatibility SET oldest_binary = 14;

-- +goose Down
UPDATE schema_compatibility SET oldest_binary = 13;
DROP FUNCTION storage_fence(text, bigint, uuid);
ALTER TABLE storage_strategies DROP CONSTRAINT storage_strategies_primary;
DROP TABLE storage_primaries;
