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
DROP TABLE usage_imported;
