-- +goose Up
-- Wider tiers of the rollups, so that a figure of a long range reads few rows. The
-- compactor writes all tiers of a record in one statement; each holds the same
-- records as usage_rollups does.
--
-- Per hour and UTC day by key, account and model: whole hours and days of a range
-- are read from these. A zone whose offset is half an hour has whole UTC hours in
-- its days, all but one.
CREATE TABLE usage_rollups_hourly (LIKE usage_rollups,
    CHECK (bucket = date_trunc('hour', bucket, 'UTC')),
    -- UsageStatsByKey reads a key's range of buckets from it.
    PRIMARY KEY (api_key_id, bucket, account_id, model)
) WITH (fillfactor = 80);
CREATE TABLE usage_rollups_daily (LIKE usage_rollups,
    CHECK (bucket = date_trunc('day', bucket, 'UTC')),
    PRIMARY KEY (api_key_id, bucket, account_id, model)
) WITH (fillfactor = 80);
-- UsageStatsByAccount and UsageStatsAll read an account's and everybody's range.
-- Values repeat, so B-tree deduplication keeps them small.
CREATE INDEX usage_rollups_hourly_account ON usage_rollups_hourly (account_id, bucket);
CREATE INDEX usage_rollups_hourly_bucket ON usage_rollups_hourly (bucket);
CREATE INDEX usage_rollups_daily_account ON usage_rollups_daily (account_id, bucket);
CREATE INDEX usage_rollups_daily_bucket ON usage_rollups_daily (bucket);

-- Over all keys and accounts, per 15 minutes and per UTC day.
CREATE TABLE usage_rollups_global (
    bucket        timestamptz NOT NULL CHECK (bucket = date_bin('15 minutes', bucket, '2000-01-01T00:00:00Z')),
    records       bigint NOT NULL CHECK (records > 0),
    requests      numeric(38,0) NOT NULL,
    input_tokens  numeric(38,0) NOT NULL,
    output_tokens numeric(38,0) NOT NULL,
    cache_creation_tokens numeric(38,0) NOT NULL,
    cache_read_tokens     numeric(38,0) NOT NULL,
    total_tokens  numeric(38,0) NOT NULL,
    cost          numeric(38,12) NOT NULL,
    model         text NOT NULL,
    PRIMARY KEY (bucket, model)
) WITH (fillfactor = 80);
CREATE TABLE usage_rollups_global_daily (LIKE usage_rollups_global,
    CHECK (bucket = date_trunc('day', bucket, 'UTC')),
    PRIMARY KEY (bucket, model)
) WITH (fillfactor = 80);

-- The tiers as one: a query gives the tier of each of its ranges.
CREATE VIEW usage_rollups_tiers AS
    SELECT 'quarter' AS tier, q.* FROM usage_rollups q
    UNION ALL SELECT 'hour', h.* FROM usage_rollups_hourly h
    UNION ALL SELECT 'day', d.* FROM usage_rollups_daily d;
CREATE VIEW usage_rollups_global_tiers AS
    SELECT 'quarter' AS tier, q.* FROM usage_rollups_global q
    UNION ALL SELECT 'day', d.* FROM usage_rollups_global_daily d;

-- Of all time, a row a key and a row an account. Rows stay when rollups go.
CREATE TABLE usage_totals (
    id            uuid NOT NULL,
    records       bigint NOT NULL CHECK (records > 0),
    requests      numeric(38,0) NOT NULL,
    input_tokens  numeric(38,0) NOT NULL,
    output_tokens numeric(38,0) NOT NULL,
    cache_creation_tokens numeric(38,0) NOT NULL,
    cache_read_tokens     numeric(38,0) NOT NULL,
    total_tokens  numeric(38,0) NOT NULL,
    cost          numeric(38,12) NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('account', 'key')),
    PRIMARY KEY (kind, id)
) WITH (fillfactor = 50);

-- How many records a batch has. A compactor whose plan is from before a month's
-- partition was attached does not see that month's records: it must not take a
-- batch for done of which it has found less.
ALTER TABLE usage_pending ADD COLUMN records bigint;
UPDATE usage_pending p SET records = (SELECT count(*) FROM usage_pending_records r WHERE r.batch_id = p.batch_id) WHERE true;
ALTER TABLE usage_pending ALTER COLUMN records SET NOT NULL;

-- From when the ledger's records, and the rollups, are complete: what is older may
-- have been cleaned up.
CREATE TABLE usage_horizon (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    records_from timestamptz NOT NULL,
    rollups_from timestamptz NOT NULL
);
INSERT INTO usage_horizon (records_from, rollups_from) VALUES ('2000-01-01Z', '2000-01-01Z');

INSERT INTO usage_rollups_hourly SELECT api_key_id, account_id, date_trunc('hour', bucket, 'UTC'), sum(records), sum(requests),
    sum(input_tokens), sum(output_tokens), sum(cache_creation_tokens), sum(cache_read_tokens), sum(total_tokens), sum(cost), model
    FROM usage_rollups GROUP BY 1, 2, 3, model;
INSERT INTO usage_rollups_daily SELECT api_key_id, account_id, date_trunc('day', bucket, 'UTC'), sum(records), sum(requests),
    sum(input_tokens), sum(output_tokens), sum(cache_creation_tokens), sum(cache_read_tokens), sum(total_tokens), sum(cost), model
    FROM usage_rollups_hourly GROUP BY 1, 2, 3, model;
INSERT INTO usage_rollups_global SELECT bucket, sum(records), sum(requests),
    sum(input_tokens), sum(output_tokens), sum(cache_creation_tokens), sum(cache_read_tokens), sum(total_tokens), sum(cost), model
    FROM usage_rollups GROUP BY bucket, model;
INSERT INTO usage_rollups_global_daily SELECT date_trunc('day', bucket, 'UTC'), sum(records), sum(requests),
    sum(input_tokens), sum(output_tokens), sum(cache_creation_tokens), sum(cache_read_tokens), sum(total_tokens), sum(cost), model
    FROM usage_rollups_global GROUP BY 1, model;
INSERT INTO usage_totals SELECT s.id, sum(records), sum(requests),
    sum(input_tokens), sum(output_tokens), sum(cache_creation_tokens), sum(cache_read_tokens), sum(total_tokens), sum(cost), s.kind
    FROM usage_rollups_daily, LATERAL (VALUES ('key', api_key_id), ('account', account_id)) AS s(kind, id)
    GROUP BY s.kind, s.id;

-- For whoever drops a month: writers of that month wait until the transaction ends.
-- False where there is no such month. With its owner's rights, like the next one.
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

UPDATE schema_compatibility SET oldest_binary = 5;

-- +goose Down
UPDATE schema_compatibility SET oldest_binary = 4;
DROP FUNCTION usage_drop_month(timestamptz);
DROP FUNCTION usage_lock_month(timestamptz);
DROP TABLE usage_horizon;
ALTER TABLE usage_pending DROP COLUMN records;
DROP TABLE usage_totals;
DROP VIEW usage_rollups_global_tiers;
DROP VIEW usage_rollups_tiers;
DROP TABLE usage_rollups_global_daily;
DROP TABLE usage_rollups_global;
DROP TABLE usage_rollups_daily;
DROP TABLE usage_rollups_hourly;
