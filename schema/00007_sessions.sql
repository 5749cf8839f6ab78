-- +goose Up
-- Sessions of a gateway's users. The token is nowhere, only its SHA-256. Ids are
-- UUIDv7, so that their order is that of the creation. session_data is json, not
-- jsonb: what comes out is what went in, digit by digit.
CREATE TABLE sessions (
    id           uuid PRIMARY KEY,
    token_hash   bytea NOT NULL CHECK (octet_length(token_hash) = 32),
    user_id      text NOT NULL CHECK (octet_length(user_id) BETWEEN 1 AND 256),
    user_type    text NOT NULL CHECK (user_type IN ('admin', 'user')),
    session_data json NOT NULL CHECK (json_typeof(session_data) = 'object'),
    ip_address   inet,
    user_agent   text NOT NULL DEFAULT '' CHECK (char_length(user_agent) <= 1024),
    created_at   timestamptz NOT NULL CHECK (isfinite(created_at)),
    expires_at   timestamptz NOT NULL CHECK (isfinite(expires_at))
);

-- SessionGetByHash, SessionUpdate and SessionDeleteByHash find a session by it.
CREATE UNIQUE INDEX sessions_token_hash ON sessions (token_hash);
-- SessionListByUser and SessionDeleteByUser read a user's sessions in their order.
CREATE INDEX sessions_user_id ON sessions (user_id, id);
-- SessionDeleteExpired reads them by their end.
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- As for api_keys, but for what no cache can have wrong. A token that was drawn just
-- now is not known to be unknown, as one that is imported or put back may be: an
-- event would make a creation take 1.7 times as long. A session that ended a minute
-- ago (more than clocks differ) is valid nowhere, whoever still has it cached: a
-- cleanup of a million of them need tell nobody.
-- +goose StatementBegin
CREATE FUNCTION sessions_to_outbox() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO cache_outbox (kind, key)
            SELECT 'session', token_hash FROM after_rows WHERE created_at < clock_timestamp() - interval '1 minute';
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO cache_outbox (kind, key)
            SELECT 'session', token_hash FROM before_rows WHERE expires_at > clock_timestamp() - interval '1 minute';
    ELSE
        INSERT INTO cache_outbox (kind, key)
            SELECT 'session', token_hash FROM before_rows UNION SELECT 'session', token_hash FROM after_rows;
    END IF;
    IF FOUND THEN
        NOTIFY relaystore_cache;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER sessions_inserted AFTER INSERT ON sessions
    REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION sessions_to_outbox();
CREATE TRIGGER sessions_updated AFTER UPDATE ON sessions
    REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION sessions_to_outbox();
CREATE TRIGGER sessions_deleted AFTER DELETE ON sessions
    REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION sessions_to_outbox();

-- It runs with its owner's rights: a caller's temporary tables must not take the
-- place of ours.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION sessions_to_outbox() SET search_path = %I, pg_temp', current_schema());
END $$;
-- +goose StatementEnd

UPDATE schema_compatibility SET oldest_binary = 7;

-- +goose Down
UPDATE schema_compatibility SET oldest_binary = 6;
DROP TABLE sessions;
DROP FUNCTION sessions_to_outbox();
