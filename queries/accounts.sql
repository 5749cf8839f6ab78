-- name: AccountInsert :exec
-- Stores a new account. A taken id is a unique violation that names the
-- constraint. One row.
INSERT INTO accounts (
    id, platform, name, description, account_type, priority, schedulable, status,
    scopes, token_expires_at, proxy_type, proxy_host, proxy_port, proxy_username,
    access_token, refresh_token, api_key, other_secrets, proxy_password, details, created_at, updated_at
) VALUES (
    @id, @platform, @name, @description, @account_type, @priority, @schedulable, 'active',
    @scopes, @token_expires_at, @proxy_type, @proxy_host, @proxy_port, @proxy_username,
    @access_token, @refresh_token, @api_key, @other_secrets, @proxy_password, @details, @now, @now
);

-- name: AccountGet :one
-- What is shown of an account, by primary key; no secret is among it. At most one
-- row.
SELECT id, platform, name, description, account_type, priority, schedulable, status, error_message,
    rate_limit_reset_at, tokens_remaining, last_used_at, scopes, token_expires_at,
    proxy_type, proxy_host, proxy_port, proxy_username, details, created_at, updated_at
FROM accounts
WHERE id = @id AND deleted_at IS NULL;

-- name: AccountGetCredentials :one
-- What GetCredentials keeps of an account, sealed, by primary key. At most one row.
SELECT id, platform, status, scopes, token_expires_at, proxy_type, proxy_host, proxy_port, proxy_username,
    access_token, refresh_token, api_key, other_secrets, proxy_password, credentials_version
FROM accounts
WHERE id = @id AND deleted_at IS NULL;

-- name: AccountGetCredentialsForUpdate :one
-- AccountGetCredentials, locked until the transaction ends. At most one row.
SELECT id, platform, status, scopes, token_expires_at, proxy_type, proxy_host, proxy_port, proxy_username,
    access_token, refresh_token, api_key, other_secrets, proxy_password, credentials_version
FROM accounts
WHERE id = @id AND deleted_at IS NULL
FOR UPDATE;

-- name: AccountSetCredentials :execrows
-- Replaces the credentials of an account that the same transaction has locked; new
-- ones end its error. One row.
UPDATE accounts SET
    scopes = @scopes, token_expires_at = @token_expires_at,
    proxy_type = @proxy_type, proxy_host = @proxy_host, proxy_port = @proxy_port, proxy_username = @proxy_username,
    access_token = @access_token, refresh_token = @refresh_token, api_key = @api_key,
    other_secrets = @other_secrets, proxy_password = @proxy_password,
    credentials_version = credentials_version + 1,
    status = CASE WHEN @cures::boolean AND status = 'error' THEN 'active' ELSE status END,
    error_message = CASE WHEN @cures::boolean AND status = 'error' THEN '' ELSE error_message END,
    updated_at = greatest(@now::timestamptz, updated_at + interval '1 microsecond')
WHERE id = @id AND deleted_at IS NULL;

-- name: AccountStoreTokens :execrows
-- Stores what a refresh gave, unless the credentials have changed since they were
-- read at @version; by primary key. NULL keeps the refresh token or the scopes. At
-- most one row.
UPDATE accounts SET
    access_token = @access_token, refresh_token = coalesce(sqlc.narg(refresh_token)::bytea, refresh_token),
    scopes = coalesce(sqlc.narg(scopes)::text[], scopes), token_expires_at = @token_expires_at,
    credentials_version = credentials_version + 1,
    updated_at = greatest(@now::timestamptz, updated_at + interval '1 microsecond')
WHERE id = @id AND credentials_version = @version AND deleted_at IS NULL;
