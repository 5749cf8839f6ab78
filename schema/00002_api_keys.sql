-- +goose Up
-- API keys of a gateway's clients. Limits of 0 mean none, empty texts mean
-- absent. A key is never removed: deleted_at hides it, reports keep its name.
CREATE TABLE api_keys (
    id          uuid PRIMARY KEY,
    -- SHA-256 of the plaintext, and of plaintext || ENCRYPTION_KEY as the
    -- legacy service stored it. Either may be missing, never both.
    hashed_key  bytea CHECK (octet_length(hashed_key) = 32),
    legacy_hash bytea CHECK (octet_length(legacy_hash) = 32),

    name        text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 255),
    description text NOT NULL DEFAULT '' CHECK (char_length(description) <= 4096),
    icon        text NOT NULL DEFAULT '' CHECK (octet_length(icon) <= 262144),
    tags        text[] NOT NULL DEFAULT '{}' CHECK (cardinality(tags) <= 100),
    permissions text NOT NULL DEFAULT 'all' CHECK (permissions ~ '^(all|[a-z]+(,[a-z]+)*)$'),
    is_active   boolean NOT NULL DEFAULT true,

    token_limit            bigint NOT NULL DEFAULT 0 CHECK (token_limit >= 0),
    concurrency_limit      bigint NOT NULL DEFAULT 0 CHECK (concurrency_limit >= 0),
    daily_cost_limit       numeric(24,12) NOT NULL DEFAULT 0 CHECK (daily_cost_limit >= 0),
    total_cost_limit       numeric(24,12) NOT NULL DEFAULT 0 CHECK (total_cost_limit >= 0),
    weekly_opus_cost_limit numeric(24,12) NOT NULL DEFAULT 0 CHECK (weekly_opus_cost_limit >= 0),
    weekly_reset_day       smallint NOT NULL DEFAULT 1 CHECK (weekly_reset_day BETWEEN 1 AND 7),
    weekly_reset_hour      smallint NOT NULL DEFAULT 0 CHECK (weekly_reset_hour BETWEEN 0 AND 23),
    rate_limit_window      bigint NOT NULL DEFAULT 0 CHECK (rate_limit_window >= 0),
    rate_limit_requests    bigint NOT NULL DEFAULT 0 CHECK (rate_limit_requests >= 0),
    rate_limit_cost        numeric(24,12) NOT NULL DEFAULT 0 CHECK (rate_limit_cost >= 0),

    -- Mode 'activation': the first validation sets activated_at and expires_at.
    expires_at      timestamptz,
    expiration_mode text NOT NULL DEFAULT 'fixed' CHECK (expiration_mode IN ('fixed', 'activation')),
    activation_days bigint NOT NULL DEFAULT 0 CHECK (activation_days BETWEEN 0 AND 36500),
    activation_unit text NOT NULL DEFAULT 'days' CHECK (activation_unit IN ('days', 'hours')),
    activated_at    timestamptz,

    -- Bindings to upstream accounts: a UUID, group:ID, responses:UUID or api:UUID.
    claude_account_id         text NOT NULL DEFAULT '',
    claude_console_account_id text NOT NULL DEFAULT '',
    gemini_account_id         text NOT NULL DEFAULT '',
    openai_account_id         text NOT NULL DEFAULT '',
    azure_openai_account_id   text NOT NULL DEFAULT '',
    bedrock_account_id        text NOT NULL DEFAULT '',
    droid_account_id          text NOT NULL DEFAULT '',
    ccr_account_id            text NOT NULL DEFAULT '',

    enable_model_restriction  boolean NOT NULL DEFAULT false,
    restricted_models         text[] NOT NULL DEFAULT '{}',
    enable_client_restriction boolean NOT NULL DEFAULT false,
    allowed_clients           text[] NOT NULL DEFAULT '{}',
    service_rates             jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(service_rates) = 'object'),
    enable_openai_responses_codex_adaptation boolean NOT NULL DEFAULT true,
    enable_openai_responses_payload_rules    boolean NOT NULL DEFAULT false,
    openai_responses_payload_rules jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(openai_responses_payload_rules) = 'array'),

    created_by    text NOT NULL DEFAULT '',
    user_id       text NOT NULL DEFAULT '',
    user_username text NOT NULL DEFAULT '',
    extra         jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(extra) = 'object'),

    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,

    CONSTRAINT api_keys_has_hash CHECK (hashed_key IS NOT NULL OR legacy_hash IS NOT NULL)
);

-- APIKeyGetByHash finds a key by either hash; no two keys share one.
CREATE UNIQUE INDEX api_keys_hashed_key ON api_keys (hashed_key);
CREATE UNIQUE INDEX api_keys_legacy_hash ON api_keys (legacy_hash);

-- When a key was last used, apart from its record so that use never rewrites
-- or races an edit.
CREATE TABLE api_key_last_used (
    api_key_id   uuid PRIMARY KEY,
    last_used_at timestamptz NOT NULL
) WITH (fillfactor = 70);

-- +goose Down
DROP TABLE api_key_last_used;
DROP TABLE api_keys;
