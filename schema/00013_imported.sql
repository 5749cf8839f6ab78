-- +goose Up
-- What another service counted before the ledger began: spans of time of a key or of
-- an account, by model. Spans of one id and model are differences, so that they never
-- overlap: a day has what its hours do not. The two scopes tell of the same usage from
-- two sides; whoever adds them up counts it twice. Resolutions: hour, day and month of
-- a zone of whole hours; opening is what is older than all of these; cleaned has spans
-- of any resolution whose figures a clean-up has removed, and counts in totals only.
CREATE TABLE usage_imported (
    starts_at     timestamptz NOT NULL CHECK (starts_at >= '2000-01-01Z'),
    ends_at       timestamptz NOT NULL CHECK (ends_at > starts_at),
    id            uuid NOT NULL,
    requests      bigint NOT NULL CHECK (requests >= 0),
    input_tokens  bigint NOT NULL CHECK (input_tokens >= 0),
    output_tokens bigint NOT NULL CHECK (output_tokens >= 0),
    cache_creation_tokens bigint NOT NULL CHECK (cache_creation_tokens >= 0),
    cache_read_tokens     bigint NOT NULL CHECK (cache_read_tokens >= 0),
    total_tokens  bigint NOT NULL,
    cost          numeric(24,12) NOT NULL CHECK (cost >= 0),
    scope         text NOT NULL CHECK (scope IN ('key', 'account')),
    resolution    text NOT NULL CHECK (resolution IN ('hour', 'day', 'month', 'opening', 'cleaned')),
    model         text NOT NULL CHECK (char_length(model) BETWEEN 1 AND 255),
    -- UsageImportedByID and UsageSums read an id's spans of a range.
    PRIMARY KEY (scope, id, starts_at, resolution, model),
    CONSTRAINT usage_imported_total CHECK (total_tokens >= input_tokens + output_tokens)
);
-- UsageImportedByTime reads a range over all ids; by their ends, because the many
-- opening balances lie wholly before most ranges.
CREATE INDEX usage_imported_ends_at ON usage_imported (scope, resolution, ends_at, starts_at);

-- The spans of all keys as one, like usage_rollups_global: a figure of everybody does
-- not read those of 100,000 keys. Triggers keep it, so that it is right whoever writes.
CREATE TABLE usage_imported_global (
    starts_at     timestamptz NOT NULL,
    ends_at       timestamptz NOT NULL,
    spans         bigint NOT NULL CHECK (spans >= 0),
    requests      numeric(38,0) NOT NULL,
    input_tokens  numeric(38,0) NOT NULL,
    output_tokens numeric(38,0) NOT NULL,
    cache_creation_tokens numeric(38,0) NOT NULL,
    cache_read_tokens     numeric(38,0) NOT NULL,
    total_tokens  numeric(38,0) NOT NULL,
    cost          numeric(38,12) NOT NULL,
    resolution    text NOT NULL,
    model         text NOT NULL,
    -- UsageImportedGlobal reads a range, as usage_imported_ends_at.
    PRIMARY KEY (resolution, ends_at, starts_at, model)
) WITH (fillfactor = 80);

-- +goose StatementBegin
CREATE FUNCTION usage_imported_sum() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE usage_imported_global g SET spans = g.spans - o.spans, requests = g.requests - o.requests,
            input_tokens = g.input_tokens - o.input_tokens, output_tokens = g.output_tokens - o.output_tokens,
            cache_creation_tokens = g.cache_creation_tokens - o.cache_creation_tokens,
            cache_read_tokens = g.cache_read_tokens - o.cache_read_tokens,
            total_tokens = g.total_tokens - o.total_tokens, cost = g.cost - o.cost
        FROM (SELECT r.resolution, r.ends_at, r.starts_at, r.model, count(*) AS spans, sum(r.requests) AS requests,
                sum(r.input_tokens) AS input_tokens, sum(r.output_tokens) AS output_tokens,
                sum(r.cache_creation_tokens) AS cache_creation_tokens, sum(r.cache_read_tokens) AS cache_read_tokens,
                sum(r.total_tokens) AS total_tokens, sum(r.cost) AS cost
            FROM old_rows r WHERE r.scope = 'key' AND r.resolution <> 'cleaned' GROUP BY 1, 2, 3, 4) AS o
        WHERE g.resolution = o.resolution AND g.ends_at = o.ends_at AND g.starts_at = o.starts_at AND g.model = o.model;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO usage_imported_global AS g (resolution, ends_at, starts_at, model, spans, requests, input_tokens, output_tokens,
            cache_creation_tokens, cache_read_tokens, total_tokens, cost)
        SELECT r.resolution, r.ends_at, r.starts_at, r.model, count(*), sum(r.requests), sum(r.input_tokens), sum(r.output_tokens),
            sum(r.cache_creation_tokens), sum(r.cache_read_tokens), sum(r.total_tokens), sum(r.cost)
        FROM new_rows r WHERE r.scope = 'key' AND r.resolution <> 'cleaned' GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
        ON CONFLICT (resolution, ends_at, starts_at, model) DO UPDATE SET
            spans = g.spans + excluded.spans, requests = g.requests + excluded.requests,
            input_tokens = g.input_tokens + excluded.input_tokens, output_tokens = g.output_tokens + excluded.output_tokens,
            cache_creation_tokens = g.cache_creation_tokens + excluded.cache_creation_tokens,
            cache_read_tokens = g.cache_read_tokens + excluded.cache_read_tokens,
            total_tokens = g.total_tokens + excluded.total_tokens, cost = g.cost + excluded.cost;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM usage_imported_global g USING (SELECT DISTINCT r.resolution, r.ends_at, r.starts_at, r.model FROM old_rows r WHERE r.scope = 'key') AS o
        WHERE g.spans = 0 AND g.resolution = o.resolution AND g.ends_at = o.ends_at AND g.starts_at = o.starts_at AND g.model = o.model;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- Also where rows are restored without a search path.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION usage_imported_sum() SET search_path = %I, pg_temp', current_schema());
END $$;
-- +goose StatementEnd
CREATE TRIGGER usage_imported_inserted AFTER INSERT ON usage_imported
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION usage_imported_sum();
CREATE TRIGGER usage_imported_updated AFTER UPDATE ON usage_imported
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION usage_imported_sum();
CREATE TRIGGER usage_imported_deleted AFTER DELETE ON usage_imported
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION usage_imported_sum();

-- What another service kept and no table here has, lossless: data is sealed.
CREATE TABLE legacy_objects (
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind       text NOT NULL CHECK (octet_length(kind) BETWEEN 1 AND 64),
    id         text NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 1024),
    data       bytea NOT NULL,
    PRIMARY KEY (kind, id)
);

-- Older binaries would leave the imported figures out.
UPDATE schema_compatibility SET oldest_binary = 13;

-- +goose Down
UPDATE schema_compatibility SET oldest_binary = 12;
DROP TABLE legacy_objects;
DROP TABLE usage_imported_global;
DROP TABLE usage_imported;
DROP FUNCTION usage_imported_sum();
