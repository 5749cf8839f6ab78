-- +goose Up
-- The ledger: one row a record, append-only, a partition a month. There is no
-- default partition; usage_ensure_month makes months as records need them.
-- account_id is the nil UUID where a record names no account. No foreign keys:
-- they would lock hot rows, and the ledger must be able to live elsewhere.
CREATE TABLE usage_records (
    occurred_at   timestamptz NOT NULL,
    id            uuid NOT NULL,
    api_key_id    uuid NOT NULL,
    account_id    uuid NOT NULL,
    batch_id      bigint NOT NULL,
    requests      bigint NOT NULL CHECK (requests >= 0),
    input_tokens  bigint NOT NULL CHECK (input_tokens >= 0),
    output_tokens bigint NOT NULL CHECK (output_tokens >= 0),
    cache_creation_tokens bigint NOT NULL CHECK (cache_creation_tokens >= 0),
    cache_read_tokens     bigint NOT NULL CHECK (cache_read_tokens >= 0),
    total_tokens  bigint NOT NULL,
    cost          numeric(24,12) NOT NULL CHECK (cost >= 0),
    account_type  text NOT NULL CHECK (char_length(account_type) <= 32),
    model         text NOT NULL CHECK (char_length(model) BETWEEN 1 AND 255),
    -- Time first: the UsageStats queries read the records of single 15-minute
    -- cells from it.
    PRIMARY KEY (occurred_at, id),
    CONSTRAINT usage_records_total CHECK (total_tokens >= input_tokens + output_tokens)
) PARTITION BY RANGE (occurred_at);

-- UsageCompact and the pending part of the UsageStats queries find a batch's
-- records. Values repeat, so B-tree deduplication keeps it at a few bytes a row.
CREATE INDEX usage_records_batch ON usage_records (batch_id);

-- One row a requestId: the first 16 bytes of SHA-256(api key, requestId), kept
-- as a uuid because that is 16 bytes without a header. Trimmed after the window.
CREATE TABLE usage_requests (
    request_hash uuid PRIMARY KEY,
    recorded_on  date NOT NULL
);
-- UsageRequestTrim finds old rows. Days repeat, so B-tree deduplication keeps
-- it at a few bytes a row.
CREATE INDEX usage_requests_recorded_on ON usage_requests (recorded_on);

-- Batches whose records are not yet in the rollups, with the span of their
-- records' times. A figure is the rollups plus the records of pending batches.
CREATE SEQUENCE usage_batch_id AS bigint;
CREATE TABLE usage_pending (
    batch_id bigint PRIMARY KEY,
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL CHECK (last_at >= first_at)
);

-- The records that are in no rollup yet, with the span of their batch. OFFSET 0
-- makes the planner find them by the batch, in the months of its span: else it may
-- read those of a query's whole range.
CREATE VIEW usage_pending_records AS
    SELECT r.*, p.first_at, p.last_at, date_bin('15 minutes', r.occurred_at, '2000-01-01T00:00:00Z') AS bucket
    FROM usage_pending p
    CROSS JOIN LATERAL (
        SELECT * FROM usage_records q
        WHERE q.batch_id = p.batch_id AND q.occurred_at BETWEEN p.first_at AND p.last_at
        OFFSET 0) AS r;

-- Sums of the compacted records of a 15-minute bucket (every current zone's
-- offset is a multiple of 15 minutes). Sums are wider than a record's figures,
-- so that no record can make one overflow.
CREATE TABLE usage_rollups (
    api_key_id    uuid NOT NULL,
    account_id    uuid NOT NULL,
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
    -- UsageStatsByKey reads a key's range of buckets from it.
    PRIMARY KEY (api_key_id, bucket, account_id, model)
) WITH (fillfactor = 80);
-- UsageStatsAll reads a range of buckets over all keys.
CREATE INDEX usage_rollups_bucket ON usage_rollups (bucket);
-- UsageStatsByAccount reads an account's range of buckets.
CREATE INDEX usage_rollups_account ON usage_rollups (account_id, bucket);

-- Makes the month's partition where it is missing, with its owner's rights, so
-- that an application's role needs none to change the schema. ATTACH takes a
-- lock that lets reads and writes of the other months go on.
-- +goose StatementBegin
CREATE FUNCTION usage_ensure_month(month timestamptz) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    low  timestamp := date_trunc('month', month AT TIME ZONE 'UTC');
    high timestamp := low + interval '1 month';
    part text := 'usage_records_' || to_char(low, 'YYYY_MM');
BEGIN
    IF month < '2000-01-01T00:00:00Z' OR month > now() + interval '2 days' THEN
        RAISE EXCEPTION USING ERRCODE = 'datetime_field_overflow', MESSAGE = 'month out of range';
    END IF;
    -- One at a time. A table lock, not an advisory one: taking it makes this
    -- session see the partition that another one has just made.
    LOCK TABLE ONLY usage_records IN SHARE UPDATE EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'usage_records'::regclass AND inhrelid = to_regclass(part)) THEN
        RETURN;
    END IF;
    -- It may exist, detached.
    EXECUTE format('CREATE TABLE IF NOT EXISTS %I (LIKE usage_records INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
    EXECUTE format('ALTER TABLE usage_records ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        part, low AT TIME ZONE 'UTC', high AT TIME ZONE 'UTC');
END $$;
-- +goose StatementEnd

-- It runs with its owner's rights: a caller's temporary tables must not take the
-- place of ours.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION usage_ensure_month(timestamptz) SET search_path = %I, pg_temp', current_schema());
END $$;
-- +goose StatementEnd

UPDATE schema_compatibility SET oldest_binary = 3;

-- +goose Down
UPDATE schema_compatibility SET oldest_binary = 1;
DROP FUNCTION usage_ensure_month(timestamptz);
DROP TABLE usage_rollups;
DROP VIEW usage_pending_records;
DROP TABLE usage_pending;
DROP SEQUENCE usage_batch_id;
DROP TABLE usage_requests;
DROP TABLE usage_records;
