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
-- read at @version; by primary key. NULL keeps the refresh token or the scopes. An
-- error whose message is one of @refuted ends: tokens are there. At most one row.
UPDATE accounts SET
    access_token = @access_token, refresh_token = coalesce(sqlc.narg(refresh_token)::bytea, refresh_token),
    scopes = coalesce(sqlc.narg(scopes)::text[], scopes), token_expires_at = @token_expires_at,
    credentials_version = credentials_version + 1,
    status = CASE WHEN status = 'error' AND error_message = ANY(@refuted::text[]) THEN 'active' ELSE status END,
    error_message = CASE WHEN status = 'error' AND error_message = ANY(@refuted::text[]) THEN '' ELSE error_message END,
    updated_at = greatest(@now::timestamptz, updated_at + interval '1 microsecond')
WHERE id = @id AND credentials_version = @version AND deleted_at IS NULL;

-- name: AccountUpdateStatus :one
-- Sets the status, and what is known of the limit's window: what is not given stays
-- until the window has passed, or until the status ends a limit. Tells whether what
-- GetCredentials keeps has changed. By primary key. At most one row.
UPDATE accounts a SET
    status = @status,
    error_message = CASE WHEN @error_message::text <> '' THEN @error_message::text
        WHEN @status = 'error' AND o.status = 'error' THEN a.error_message ELSE '' END,
    rate_limit_reset_at = coalesce(sqlc.narg(rate_limit_reset_at)::timestamptz, CASE WHEN o.keeps THEN a.rate_limit_reset_at END),
    tokens_remaining = coalesce(sqlc.narg(tokens_remaining)::bigint, CASE WHEN o.keeps THEN a.tokens_remaining END),
    last_used_at = greatest(a.last_used_at, sqlc.narg(last_used_at)::timestamptz),
    status_at = greatest(@now::timestamptz, CASE WHEN a.status_at < clock_timestamp() + interval '1 minute' THEN a.status_at + interval '1 microsecond' END),
    updated_at = greatest(@now::timestamptz, a.updated_at + interval '1 microsecond')
FROM (
    SELECT s.id, s.status,
        coalesce(s.rate_limit_reset_at > @now::timestamptz, true) AND (s.status <> 'rate_limited' OR @status = 'rate_limited') AS keeps
    FROM accounts s WHERE s.id = @id AND s.deleted_at IS NULL FOR UPDATE
) AS o
WHERE a.id = o.id
RETURNING ((o.status IN ('inactive', 'error')) <> (a.status IN ('inactive', 'error')))::boolean AS changed;

-- name: AccountHold :many
-- Locks accounts until the transaction ends, in the order of their ids (no deadlock
-- between flushes), and tells which there are. By primary key. One row an account.
SELECT id FROM accounts WHERE id = ANY (@ids::uuid[]) AND deleted_at IS NULL ORDER BY id FOR UPDATE;

-- name: AccountApplyStatuses :many
-- AccountUpdateStatus for statuses that have waited in the journal, one an account at most,
-- of accounts that AccountHold has locked: only where no later one was set since; a moment
-- that is ahead by more than clocks differ counts for none. The year 1 and -1 are what is
-- not given. By primary key. One row a status that is stored.
UPDATE accounts a SET
    status = o.status,
    error_message = CASE WHEN o.error_message <> '' THEN o.error_message
        WHEN o.status = 'error' AND o.was = 'error' THEN a.error_message ELSE '' END,
    rate_limit_reset_at = coalesce(o.reset_at, CASE WHEN o.keeps THEN a.rate_limit_reset_at END),
    tokens_remaining = coalesce(o.tokens, CASE WHEN o.keeps THEN a.tokens_remaining END),
    status_at = o.at,
    updated_at = greatest(o.at, a.updated_at + interval '1 microsecond')
FROM (
    SELECT s.id, s.status AS was, u.status, u.error_message, u.at,
        nullif(u.reset_at, timestamptz '0001-01-01 00:00:00+00') AS reset_at, nullif(u.tokens, -1) AS tokens,
        coalesce(s.rate_limit_reset_at > u.at, true) AND (s.status <> 'rate_limited' OR u.status = 'rate_limited') AS keeps
    FROM ROWS FROM (
        unnest(@ids::uuid[]), unnest(@statuses::text[]), unnest(@error_messages::text[]), unnest(@reset_ats::timestamptz[]),
        unnest(@tokens::bigint[]), unnest(@ats::timestamptz[])
    ) AS u(id, status, error_message, reset_at, tokens, at)
    JOIN accounts s ON s.id = u.id
    WHERE s.deleted_at IS NULL AND (s.status_at IS NULL OR s.status_at < u.at OR s.status_at > clock_timestamp() + interval '1 minute')
) AS o
WHERE a.id = o.id
RETURNING a.id, ((o.was IN ('inactive', 'error')) <> (a.status IN ('inactive', 'error')))::boolean AS changed;

-- name: AccountApplyUses :exec
-- Moves last uses forward, one an account, of accounts that AccountHold has locked. By
-- primary key. A row an account.
UPDATE accounts a SET last_used_at = u.at
FROM ROWS FROM (unnest(@ids::uuid[]), unnest(@ats::timestamptz[])) AS u(id, at)
WHERE a.id = u.id AND a.deleted_at IS NULL AND (a.last_used_at IS NULL OR a.last_used_at < u.at);

-- name: AccountTouch :execrows
-- Moves the last use forward, never back. By primary key. At most one row.
UPDATE accounts SET last_used_at = greatest(last_used_at, @at::timestamptz) WHERE id = @id AND deleted_at IS NULL;

-- name: AccountLimit :one
-- Limits an account until a time. One that is inactive or in error stays as it is, and so
-- does a later end, or none, of a limit that it has. By primary key. Counts the account:
-- 0 or 1, one row.
WITH found AS (SELECT f.id FROM accounts f WHERE f.id = @id AND f.deleted_at IS NULL),
limited AS (
    UPDATE accounts a SET
        status = 'rate_limited', error_message = '', tokens_remaining = NULL,
        rate_limit_reset_at = CASE WHEN a.status = 'active' THEN @until::timestamptz
            WHEN a.rate_limit_reset_at IS NOT NULL THEN greatest(a.rate_limit_reset_at, @until::timestamptz) END,
        status_at = greatest(@now::timestamptz, CASE WHEN a.status_at < clock_timestamp() + interval '1 minute' THEN a.status_at + interval '1 microsecond' END),
        updated_at = greatest(@now::timestamptz, a.updated_at + interval '1 microsecond')
    FROM found WHERE a.id = found.id AND a.status IN ('active', 'rate_limited') RETURNING a.id)
SELECT count(*) FROM found;

-- name: AccountSetSchedulable :execrows
-- Takes an account out of what schedulers may take, or back in; what an import says of
-- its own pause goes. By primary key. At most one row.
UPDATE accounts SET
    schedulable = @schedulable, updated_at = greatest(@now::timestamptz, updated_at + interval '1 microsecond'),
    details = CASE WHEN jsonb_typeof(details -> 'extra') = 'object' AND (details -> 'extra') - 'legacySchedulable' = '{}'
        THEN details - 'extra' ELSE details #- '{extra,legacySchedulable}' END
WHERE id = @id AND deleted_at IS NULL;

-- name: AccountDelete :execrows
-- Soft deletion by primary key: reports keep the name, the secrets go. At most one
-- row.
UPDATE accounts SET
    deleted_at = @now::timestamptz, updated_at = greatest(@now::timestamptz, updated_at + interval '1 microsecond'), status = 'inactive',
    access_token = NULL, refresh_token = NULL, api_key = NULL, other_secrets = NULL, proxy_password = NULL,
    credentials_version = credentials_version + 1
WHERE id = @id AND deleted_at IS NULL;

-- name: AccountAvailable :many
-- The accounts of a platform that a scheduler may take, best first. Judged by @now;
-- what was known of a window that has passed counts no more. Reads every account: a
-- few thousand are many, and an index with last_used_at would cost each touch its
-- place in the page. At most row_limit rows.
SELECT id, platform, name, description, account_type, priority, schedulable, status, error_message,
    rate_limit_reset_at, tokens_remaining, last_used_at, scopes, token_expires_at,
    proxy_type, proxy_host, proxy_port, proxy_username, details, created_at, updated_at
FROM accounts
WHERE deleted_at IS NULL AND platform = @platform
    AND CASE WHEN @status::text <> '' THEN status = @status::text
        ELSE schedulable AND (status = 'active' OR status = 'rate_limited' AND rate_limit_reset_at <= @now::timestamptz) END
    AND (sqlc.narg(rate_limit_available)::boolean IS NULL OR sqlc.narg(rate_limit_available)::boolean = (
        coalesce(rate_limit_reset_at <= @now::timestamptz, false) OR status <> 'rate_limited' AND coalesce(tokens_remaining > 0, true)))
    AND (coalesce(rate_limit_reset_at <= @now::timestamptz, false) OR coalesce(tokens_remaining >= @min_tokens_remaining::bigint, true))
ORDER BY priority, last_used_at NULLS FIRST, id
LIMIT @row_limit;

-- name: AccountList :many
-- A page of the accounts that are not deleted, newest first. Reads every account. At
-- most row_limit rows.
SELECT id, platform, name, description, account_type, priority, schedulable, status, error_message,
    rate_limit_reset_at, tokens_remaining, last_used_at, scopes, token_expires_at,
    proxy_type, proxy_host, proxy_port, proxy_username, details, created_at, updated_at
FROM accounts
WHERE deleted_at IS NULL AND (@platform::text = '' OR platform = @platform::text) AND (@status::text = '' OR status = @status::text)
ORDER BY created_at DESC, id DESC
LIMIT @row_limit OFFSET @row_offset;

-- name: AccountCount :one
-- How many accounts AccountList's filters let through, all pages together. One row.
SELECT count(*)
FROM accounts
WHERE deleted_at IS NULL AND (@platform::text = '' OR platform = @platform::text) AND (@status::text = '' OR status = @status::text);

-- name: AccountResealList :many
-- Accounts with a text that another key has sealed than the one of @prefix, in the
-- order of the primary key. At most row_limit rows.
SELECT id, access_token, refresh_token, api_key, other_secrets, proxy_password, credentials_version
FROM accounts
WHERE id > @after AND (substring(access_token FOR 5) <> @prefix::bytea OR substring(refresh_token FOR 5) <> @prefix::bytea
    OR substring(api_key FOR 5) <> @prefix::bytea OR substring(other_secrets FOR 5) <> @prefix::bytea
    OR substring(proxy_password FOR 5) <> @prefix::bytea)
ORDER BY id
LIMIT @row_limit;

-- name: AccountResealCount :one
-- How many accounts AccountResealList gives in all. Reads every account. One row.
SELECT count(*)
FROM accounts
WHERE substring(access_token FOR 5) <> @prefix::bytea OR substring(refresh_token FOR 5) <> @prefix::bytea
    OR substring(api_key FOR 5) <> @prefix::bytea OR substring(other_secrets FOR 5) <> @prefix::bytea
    OR substring(proxy_password FOR 5) <> @prefix::bytea;

-- name: AccountReseal :execrows
-- Stores the same secrets under another key, unless they have changed since they
-- were read. The version stays: a refresh in flight may still store its tokens. By
-- primary key. At most one row.
UPDATE accounts SET
    access_token = @access_token, refresh_token = @refresh_token, api_key = @api_key,
    other_secrets = @other_secrets, proxy_password = @proxy_password
WHERE id = @id AND credentials_version = @version AND deleted_at IS NULL;

-- name: AccountNames :many
-- Names for reports, deleted accounts included, by primary key. One row an id that
-- exists.
SELECT id, name FROM accounts WHERE id = ANY (@ids::uuid[]);
