-- +goose Up
-- How many records of each month are in the ledger and in the rollups, so that
-- nobody counts them: the compactor adds what it takes, whoever deletes takes off.
CREATE TABLE usage_months (
    month   timestamptz PRIMARY KEY CHECK (month = date_trunc('month', month, 'UTC')),
    records bigint NOT NULL CHECK (records >= 0)
) WITH (fillfactor = 50);

-- No compactor works until this is committed (the number is their lock's).
SELECT pg_advisory_xact_lock(7246182519001);
INSERT INTO usage_months SELECT date_trunc('month', r.occurred_at, 'UTC'), count(*) FROM usage_records r
    WHERE NOT EXISTS (SELECT FROM usage_pending p WHERE p.batch_id = r.batch_id) GROUP BY 1;

DROP FUNCTION usage_drop_month(timestamptz);
DROP FUNCTION usage_lock_month(timestamptz);

-- For whoever drops a month: no statement reads or writes the ledger until the
-- transaction ends. False where there is no such month; after waiting for it, an error
-- of lock_timeout. The vacuum of a month is waited for first, when nobody else has to
-- wait for this one. All who hold a lock of a month took the whole table's before, so
-- that nobody waits for one of them meanwhile. With its owner's rights, like the next one.
-- +goose StatementBegin
CREATE FUNCTION usage_lock_month(month timestamptz, wait_ms int) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '5s' AS $$
DECLARE
    part text := 'usage_records_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'usage_records'::regclass AND inhrelid = to_regclass(part)) THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE %I IN SHARE UPDATE EXCLUSIVE MODE', part);
    PERFORM set_config('lock_timeout', wait_ms || 'ms', true);
    LOCK TABLE ONLY usage_records IN ACCESS EXCLUSIVE MODE;
    RETURN true;
EXCEPTION WHEN undefined_table THEN
    RETURN false; -- somebody else has just dropped it
END $$;
-- +goose StatementEnd

-- Drops a month that is before the horizon and locked, and gives how many records it
-- had; -1 where some are pending.
-- +goose StatementBegin
CREATE FUNCTION usage_drop_month(of_month timestamptz) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '50ms' AS $$
DECLARE
    low  timestamptz := date_trunc('month', of_month, 'UTC');
    high timestamptz := (date_trunc('month', of_month AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
    n bigint;
BEGIN
    IF high > (SELECT records_from FROM usage_horizon) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'the month is not before the horizon';
    END IF;
    IF EXISTS (SELECT FROM usage_pending WHERE first_at < high AND last_at >= low) THEN
        RETURN -1;
    END IF;
    EXECUTE format('DROP TABLE %I', 'usage_records_' || to_char(low AT TIME ZONE 'UTC', 'YYYY_MM'));
    DELETE FROM usage_months m WHERE m.month = low RETURNING m.records INTO n;
    RETURN coalesce(n, 0);
END $$;
-- +goose StatementEnd

-- They run with their owner's rights: a caller's temporary tables must not take the
-- place of ours.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION usage_lock_month(timestamptz, int) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION usage_drop_month(timestamptz) SET search_path = %I, pg_temp', current_schema());
END $$;
-- +goose StatementEnd

-- Older binaries would not count.
UPDATE schema_compatibility SET oldest_binary = 12;

-- +goose Down
UPDATE schema_compatibility SET oldest_binary = 11;
DROP FUNCTION usage_drop_month(timestamptz);
DROP FUNCTION usage_lock_month(timestamptz, int);
DROP TABLE usage_months;
-- +goose StatementBegin
CREATE FUNCTION usage_lock_month(month timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '50ms' AS $$
DECLARE
    part text := 'usage_records_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'usage_records'::regclass AND inhrelid = to_regclass(part)) THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE %I IN EXCLUSIVE MODE', part);
    RETURN true;
EXCEPTION WHEN undefined_table THEN
    RETURN false; -- somebody else has just dropped it
END $$;
-- +goose StatementEnd

-- Drops a month before the horizon whose records are all in the rollups and tells
-- how many they were; -1 where some are pending. All writers wait for the drop
-- itself, at most for the lock_timeout: beyond it nothing has happened, and the
-- caller may try again. With its owner's rights, so that an application's role
-- needs none to drop tables.
-- +goose StatementBegin
CREATE FUNCTION usage_drop_month(month timestamptz) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '50ms' AS $$
DECLARE
    low  timestamptz := date_trunc('month', month, 'UTC');
    high timestamptz := (date_trunc('month', month AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
    part text := 'usage_records_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
    n bigint;
BEGIN
    IF high > (SELECT records_from FROM usage_horizon) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'the month is not before the horizon';
    END IF;
    IF NOT usage_lock_month(month) THEN
        RETURN 0;
    END IF;
    IF EXISTS (SELECT FROM usage_pending WHERE first_at < high AND last_at >= low) THEN
        RETURN -1;
    END IF;
    EXECUTE format('SELECT count(*) FROM %I', part) INTO n;
    EXECUTE format('DROP TABLE %I', part);
    RETURN n;
END $$;
-- +goose StatementEnd

-- They run with their owner's rights: a caller's temporary tables must not take the
-- place of ours.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION usage_lock_month(timestamptz) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION usage_drop_month(timestamptz) SET search_path = %I, pg_temp', current_schema());
END $$;
-- +goose StatementEnd
