-- name: AccountImportGet :one
-- An account as it is stored, a deleted one included, locked until the transaction
-- ends; by primary key. At most one row.
SELECT * FROM accounts WHERE id = @id FOR UPDATE;

-- name: AccountImport :exec
-- Writes an account of another service as it is there, by primary key. One row.
INSERT INTO accounts (
    id, platform, name, description, account_type, priority, schedulable, status, error_message,
    rate_limit_reset_at, last_used_at, scopes, token_expires_at, proxy_type, proxy_host, proxy_port, proxy_username,
    access_token, refresh_token, api_key, other_secrets, proxy_password, details, created_at, updated_at
) VALUES (
    @id, @platform, @name, @description, @account_type, @priority, @schedulable, @status, @error_message,
    @rate_limit_reset_at, @last_used_at, @scopes, @token_expires_at, @proxy_type, @proxy_host, @proxy_port, @proxy_username,
    @access_token, @refresh_token, @api_key, @other_secrets, @proxy_password, @details, @created_at, @updated_at
)
ON CONFLICT (id) DO UPDATE SET
    platform = excluded.platform, name = excluded.name, description = excluded.description,
    account_type = excluded.account_type, priority = excluded.priority, schedulable = excluded.schedulable,
    status = excluded.status, error_message = excluded.error_message,
    rate_limit_reset_at = excluded.rate_limit_reset_at, last_used_at = excluded.last_used_at,
    scopes = excluded.scopes, token_expires_at = excluded.token_expires_at,
    proxy_type = excluded.proxy_type, proxy_host = excluded.proxy_host, proxy_port = excluded.proxy_port, proxy_username = excluded.proxy_username,
    access_token = excluded.access_token, refresh_token = excluded.refresh_token, api_key = excluded.api_key,
    other_secrets = excluded.other_secrets, proxy_password = excluded.proxy_password, details = excluded.details,
    credentials_version = accounts.credentials_version + 1,
    created_at = excluded.created_at, updated_at = excluded.updated_at;
