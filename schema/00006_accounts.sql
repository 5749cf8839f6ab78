-- +goose Up
-- Upstream accounts. Empty texts mean absent. An account is never removed:
-- deleted_at hides it, its secrets go at once, reports keep its name.
CREATE TABLE accounts (
    id          uuid PRIMARY KEY,
    platform    text NOT NULL CHECK (platform IN ('claude', 'claude-console', 'ccr', 'bedrock', 'gemini', 'gemini-api',
        'openai', 'openai-responses', 'azure-openai', 'droid')),
    name        text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 255),
    description text NOT NULL DEFAULT '' CHECK (char_length(description) <= 4096),
    account_type text NOT NULL DEFAULT 'shared' CHECK (account_type IN ('shared', 'dedicated', 'group')),
    -- Lower is taken first. Not schedulable is paused.
    priority    smallint NOT NULL DEFAULT 50 CHECK (priority BETWEEN 1 AND 100),
    schedulable boolean NOT NULL DEFAULT true,

    status        text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'rate_limited', 'error')),
    error_message text NOT NULL DEFAULT '' CHECK (char_length(error_message) <= 4096),
    -- What the provider said of the window that ends at rate_limit_reset_at; NULL
    -- is unknown.
    rate_limit_reset_at timestamptz,
    tokens_remaining    bigint CHECK (tokens_remaining >= 0),
    last_used_at        timestamptz,

    scopes           text[] NOT NULL DEFAULT '{}' CHECK (cardinality(scopes) <= 100),
    token_expires_at timestamptz,
    proxy_type       text NOT NULL DEFAULT '' CHECK (proxy_type IN ('', 'http', 'socks5')),
    proxy_host       text NOT NULL DEFAULT '' CHECK (char_length(proxy_host) <= 255),
    proxy_port       integer NOT NULL DEFAULT 0 CHECK (proxy_port BETWEEN 0 AND 65535),
    proxy_username   text NOT NULL DEFAULT '' CHECK (char_length(proxy_username) <= 1024),

    -- Sealed: each is bound to its row's id and its column's name. other_secrets are
    -- lines of name=value under their seal. NULL is none.
    access_token   bytea,
    refresh_token  bytea,
    api_key        bytea,
    other_secrets  bytea,
    proxy_password bytea,
    -- Moves with every change of the credentials except their sealing anew: what
    -- was read at one version is stored only over that version.
    credentials_version bigint NOT NULL DEFAULT 1,

    details jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(details) = 'object'),

    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,

    CONSTRAINT accounts_proxy CHECK ((proxy_type = '') = (proxy_host = '') AND (proxy_type = '') = (proxy_port = 0)),
    CONSTRAINT accounts_deleted CHECK (deleted_at IS NULL OR num_nonnulls(access_token, refresh_token, api_key, other_secrets, proxy_password) = 0)
) WITH (fillfactor = 70); -- touches change no indexed column: they stay in their page

-- One refresh of an account's token at a time over all processes, by the database's
-- clock. intent_at is set before the provider is called with the refresh token of
-- intent_version, and removed when that is known to be stored or refused: an intent
-- that stays may have used the token up.
CREATE TABLE account_refreshes (
    account_id       uuid PRIMARY KEY,
    holder           uuid NOT NULL,
    lease_expires_at timestamptz NOT NULL,
    intent_at        timestamptz,
    intent_version   bigint,
    -- How the last one ended, for the credentials of finished_version: it answers
    -- further calls until answers_until. NULL while an intent is not finished.
    finished_at      timestamptz,
    finished_version bigint,
    answers_until    timestamptz,
    failure          text NOT NULL DEFAULT '' CHECK (failure IN ('', 'invalid_grant', 'refused', 'rate_limited', 'unavailable', 'malformed')),
    failure_reason   text NOT NULL DEFAULT '' CHECK (char_length(failure_reason) <= 64),
    failure_status   integer NOT NULL DEFAULT 0,
    failure_retry_at timestamptz
) WITH (fillfactor = 70);

-- Only changes of what GetCredentials caches are told: a limit, a use or a name is
-- none, and neither is a step between active and rate_limited. A key is the id
-- behind 16 bytes that spread it evenly.
-- +goose StatementBegin
CREATE FUNCTION accounts_to_outbox() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO cache_outbox (kind, key) SELECT 'account', substring(sha256(uuid_send(a.id)) FOR 16) || uuid_send(a.id) FROM after_rows a;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO cache_outbox (kind, key) SELECT 'account', substring(sha256(uuid_send(b.id)) FOR 16) || uuid_send(b.id) FROM before_rows b;
    ELSE
        INSERT INTO cache_outbox (kind, key)
            SELECT 'account', substring(sha256(uuid_send(id)) FOR 16) || uuid_send(id) FROM before_rows b FULL JOIN after_rows a USING (id)
            WHERE (b.id, b.platform, b.status IN ('inactive', 'error'), b.deleted_at IS NULL, b.scopes, b.token_expires_at,
                    b.proxy_type, b.proxy_host, b.proxy_port, b.proxy_username,
                    b.access_token, b.refresh_token, b.api_key, b.other_secrets, b.proxy_password)
                IS DISTINCT FROM
                  (a.id, a.platform, a.status IN ('inactive', 'error'), a.deleted_at IS NULL, a.scopes, a.token_expires_at,
                    a.proxy_type, a.proxy_host, a.proxy_port, a.proxy_username,
                    a.access_token, a.refresh_token, a.api_key, a.other_secrets, a.proxy_password);
    END IF;
    IF FOUND THEN
        NOTIFY relaystore_cache;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER accounts_inserted AFTER INSERT ON accounts
    REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION accounts_to_outbox();
CREATE TRIGGER accounts_updated AFTER UPDATE ON accounts
    REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION accounts_to_outbox();
CREATE TRIGGER accounts_deleted AFTER DELETE ON accounts
    REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION accounts_to_outbox();

-- It runs with its owner's rights: a caller's temporary tables must not take the
-- place of ours.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION accounts_to_outbox() SET search_path = %I, pg_temp', current_schema());
END $$;
-- +goose StatementEnd

UPDATE schema_compatibility SET oldest_binary = 6;

-- +goose Down
UPDATE schema_compatibility SET oldest_binary = 5;
DROP TRIGGER accounts_deleted ON accounts;
DROP TRIGGER accounts_updated ON accounts;
DROP TRIGGER accounts_inserted ON accounts;
DROP FUNCTION accounts_to_outbox();
DROP TABLE account_refreshes;
DROP TABLE accounts;
