-- name: AccountCopyList :many
-- The accounts that are not deleted, whole, in the order of the primary key. At most
-- row_limit rows.
SELECT * FROM accounts
WHERE id > @after AND deleted_at IS NULL
ORDER BY id
LIMIT @row_limit;

-- name: AccountCopyUpsert :one
-- Makes an account what the other primary has, also where it was deleted here. One row.
INSERT INTO accounts (
    id, platform, name, description, account_type, priority, schedulable, status, error_message,
    rate_limit_reset_at, tokens_remaining, last_used_at, scopes, token_expires_at, proxy_type, proxy_host, proxy_port, proxy_username,
    access_token, refresh_token, api_key, other_secrets, proxy_password, details, created_at, updated_at, status_at
) VALUES (
    @id, @platform, @name, @description, @account_type, @priority, @schedulable, @status, @error_message,
    @rate_limit_reset_at, @tokens_remaining, @last_used_at, @scopes, @token_expires_at, @proxy_type, @proxy_host, @proxy_port, @proxy_username,
    @access_token, @refresh_token, @api_key, @other_secrets, @proxy_password, @details, @created_at, @updated_at, @status_at
)
ON CONFLICT (id) DO UPDATE SET
    platform = excluded.platform, name = excluded.name, description = excluded.description,
    account_type = excluded.account_type, priority = excluded.priority, schedulable = excluded.schedulable,
    status = excluded.status, error_message = excluded.error_message, rate_limit_reset_at = excluded.rate_limit_reset_at,
    tokens_remaining = excluded.tokens_remaining, last_used_at = excluded.last_used_at,
    scopes = excluded.scopes, token_expires_at = excluded.token_expires_at,
    proxy_type = excluded.proxy_type, proxy_host = excluded.proxy_host, proxy_port = excluded.proxy_port, proxy_username = excluded.proxy_username,
    access_token = excluded.access_token, refresh_token = excluded.refresh_token, api_key = excluded.api_key,
    other_secrets = excluded.other_secrets, proxy_password = excluded.proxy_password, details = excluded.details,
    credentials_version = accounts.credentials_version + 1, deleted_at = NULL,
    created_at = excluded.created_at, updated_at = excluded.updated_at, status_at = greatest(excluded.status_at, accounts.status_at)
RETURNING credentials_version;

-- name: AccountCopyRefreshList :many
-- The refreshes of accounts that are under way, or whose outcome nobody knows; by
-- primary key. At most one row an id.
SELECT f.account_id, f.holder, f.lease_expires_at, f.intent_at
FROM account_refreshes f JOIN accounts a ON a.id = f.account_id
WHERE f.account_id = ANY (@ids::uuid[]) AND (f.lease_expires_at > clock_timestamp() OR f.intent_at IS NOT NULL AND f.intent_version = a.credentials_version);

-- name: AccountCopyRefresh :exec
-- Makes a refresh stand as it does at the other primary. One row.
INSERT INTO account_refreshes (account_id, holder, lease_expires_at, intent_at, intent_version)
VALUES (@account_id, @holder, @lease_expires_at, @intent_at, @intent_version)
ON CONFLICT (account_id) DO UPDATE SET
    holder = excluded.holder, lease_expires_at = excluded.lease_expires_at, intent_at = excluded.intent_at, intent_version = excluded.intent_version,
    finished_at = NULL, answers_until = NULL;
