-- name: AccountRefreshGet :one
-- What a refresh needs of an account, sealed, and how its refreshes stand, with the
-- database's clock; by both primary keys. At most one row.
SELECT a.platform, a.scopes, a.token_expires_at, a.proxy_type, a.proxy_host, a.proxy_port, a.proxy_username, a.details,
    a.access_token, a.refresh_token, a.proxy_password, a.credentials_version, a.updated_at,
    f.lease_expires_at, f.intent_at, f.intent_version, f.finished_at, f.finished_version, f.answers_until,
    f.failure, f.failure_reason, f.failure_status, f.failure_retry_at, clock_timestamp()::timestamptz AS now
FROM accounts a LEFT JOIN account_refreshes f ON f.account_id = a.id
WHERE a.id = @id AND a.deleted_at IS NULL;

-- name: AccountRefreshLease :execrows
-- Takes the lease of an account where nobody holds it; repeated by its holder, it
-- takes nothing away. By primary key. No row where another one holds it.
INSERT INTO account_refreshes AS f (account_id, holder, lease_expires_at)
VALUES (@id, @holder, clock_timestamp() + @lease::interval)
ON CONFLICT (account_id) DO UPDATE SET holder = excluded.holder, lease_expires_at = clock_timestamp() + @lease::interval
WHERE f.lease_expires_at <= clock_timestamp() OR f.holder = excluded.holder;

-- name: AccountRefreshIntend :execrows
-- Notes that the refresh token of a version is about to be used, and prolongs the
-- lease. By primary key. No row where the lease is lost.
UPDATE account_refreshes SET
    lease_expires_at = clock_timestamp() + @lease::interval,
    intent_at = clock_timestamp(), intent_version = @version::bigint, finished_at = NULL, answers_until = NULL
WHERE account_id = @id AND holder = @holder AND lease_expires_at > clock_timestamp();

-- name: AccountRefreshFinish :execrows
-- Gives the lease back with a failure, which answers further calls for a while. By
-- primary key. No row where the lease is another one's.
UPDATE account_refreshes SET
    lease_expires_at = clock_timestamp(),
    intent_at = CASE WHEN @resolved::boolean THEN NULL ELSE intent_at END,
    finished_at = clock_timestamp(), finished_version = @version::bigint, answers_until = clock_timestamp() + @answers_for::interval,
    failure = @failure, failure_reason = @reason, failure_status = @status, failure_retry_at = clock_timestamp() + sqlc.narg(retry_after)::interval
WHERE account_id = @id AND holder = @holder;

-- name: AccountRefreshSucceed :one
-- Notes that the tokens of a version are stored, which answers further calls for a
-- while, and gives the lease back where it is still the holder's: tokens that are
-- stored late are news to whoever has it now. By primary key. At most one row.
UPDATE account_refreshes SET
    lease_expires_at = CASE WHEN holder = @holder THEN clock_timestamp() ELSE lease_expires_at END,
    intent_at = CASE WHEN holder = @holder THEN NULL ELSE intent_at END,
    finished_at = clock_timestamp(), finished_version = @version::bigint, answers_until = clock_timestamp() + @answers_for::interval,
    failure = '', failure_reason = '', failure_status = 0, failure_retry_at = NULL
WHERE account_id = @id
RETURNING finished_at::timestamptz AS finished_at;

-- name: AccountRefreshRelease :exec
-- Gives the lease back without an outcome. By primary key. At most one row.
UPDATE account_refreshes SET lease_expires_at = clock_timestamp()
WHERE account_id = @id AND holder = @holder AND lease_expires_at > clock_timestamp();

-- name: AccountRefreshDue :many
-- The accounts whose tokens expire within @ahead, the most urgent first, without those
-- whose refresh has failed within @pause. Reads every account. At most row_limit rows.
SELECT a.id
FROM accounts a LEFT JOIN account_refreshes f ON f.account_id = a.id
WHERE a.deleted_at IS NULL AND a.refresh_token IS NOT NULL AND a.status IN ('active', 'rate_limited')
    AND a.token_expires_at < clock_timestamp() + @ahead::interval
    AND NOT coalesce(f.failure <> '' AND f.finished_version = a.credentials_version AND f.finished_at > clock_timestamp() - @pause::interval, false)
ORDER BY a.token_expires_at
LIMIT @row_limit;
