-- name: APIKeyInsert :one
-- Stores a new key. A taken id or hash is a unique violation that names the
-- constraint. One row.
INSERT INTO api_keys (
    id, hashed_key, legacy_hash, created_at, updated_at,
    name, description, icon, tags, permissions, is_active,
    token_limit, concurrency_limit, daily_cost_limit, total_cost_limit, weekly_opus_cost_limit,
    weekly_reset_day, weekly_reset_hour, rate_limit_window, rate_limit_requests, rate_limit_cost,
    expires_at, expiration_mode, activation_days, activation_unit, activated_at,
    claude_account_id, claude_console_account_id, gemini_account_id, openai_account_id,
    azure_openai_account_id, bedrock_account_id, droid_account_id, ccr_account_id,
    enable_model_restriction, restricted_models, enable_client_restriction, allowed_clients, service_rates,
    enable_openai_responses_codex_adaptation, enable_openai_responses_payload_rules, openai_responses_payload_rules,
    created_by, user_id, user_username, extra
) VALUES (
    @id, @hashed_key, @legacy_hash, @now, @now,
    @name, @description, @icon, @tags, @permissions, @is_active,
    @token_limit, @concurrency_limit, @daily_cost_limit, @total_cost_limit, @weekly_opus_cost_limit,
    @weekly_reset_day, @weekly_reset_hour, @rate_limit_window, @rate_limit_requests, @rate_limit_cost,
    @expires_at, @expiration_mode, @activation_days, @activation_unit, @activated_at,
    @claude_account_id, @claude_console_account_id, @gemini_account_id, @openai_account_id,
    @azure_openai_account_id, @bedrock_account_id, @droid_account_id, @ccr_account_id,
    @enable_model_restriction, @restricted_models, @enable_client_restriction, @allowed_clients, @service_rates,
    @enable_openai_responses_codex_adaptation, @enable_openai_responses_payload_rules, @openai_responses_payload_rules,
    @created_by, @user_id, @user_username, @extra
)
RETURNING *;

-- name: APIKeyGet :one
-- A key that is not deleted, by primary key. At most one row.
SELECT sqlc.embed(k), l.last_used_at
FROM api_keys k
LEFT JOIN api_key_last_used l ON l.api_key_id = k.id
WHERE k.id = @id AND k.deleted_at IS NULL;

-- name: APIKeyGetForUpdate :one
-- The same row locked, so that two updates of one key follow each other and
-- each merges into what the other left. At most one row.
SELECT sqlc.embed(k), l.last_used_at
FROM api_keys k
LEFT JOIN api_key_last_used l ON l.api_key_id = k.id
WHERE k.id = @id AND k.deleted_at IS NULL
FOR UPDATE OF k;

-- name: APIKeyGetByHash :one
-- What validation needs to know of a key, by either of its hashes (a bitmap OR
-- of api_keys_hashed_key and api_keys_legacy_hash). At most one row.
SELECT id, permissions, is_active, expires_at, expiration_mode, activation_days, activation_unit, activated_at,
    concurrency_limit, daily_cost_limit, rate_limit_requests
FROM api_keys
WHERE (hashed_key = @hash OR legacy_hash = @hash) AND deleted_at IS NULL;

-- name: APIKeyUpdate :one
-- Rewrites the settings of a key that the same transaction has locked. One row.
UPDATE api_keys SET
    updated_at = @now,
    name = @name, description = @description, icon = @icon, tags = @tags, permissions = @permissions, is_active = @is_active,
    token_limit = @token_limit, concurrency_limit = @concurrency_limit, daily_cost_limit = @daily_cost_limit, total_cost_limit = @total_cost_limit, weekly_opus_cost_limit = @weekly_opus_cost_limit,
    weekly_reset_day = @weekly_reset_day, weekly_reset_hour = @weekly_reset_hour, rate_limit_window = @rate_limit_window, rate_limit_requests = @rate_limit_requests, rate_limit_cost = @rate_limit_cost,
    expires_at = @expires_at, expiration_mode = @expiration_mode, activation_days = @activation_days, activation_unit = @activation_unit, activated_at = @activated_at,
    claude_account_id = @claude_account_id, claude_console_account_id = @claude_console_account_id, gemini_account_id = @gemini_account_id, openai_account_id = @openai_account_id,
    azure_openai_account_id = @azure_openai_account_id, bedrock_account_id = @bedrock_account_id, droid_account_id = @droid_account_id, ccr_account_id = @ccr_account_id,
    enable_model_restriction = @enable_model_restriction, restricted_models = @restricted_models, enable_client_restriction = @enable_client_restriction, allowed_clients = @allowed_clients, service_rates = @service_rates,
    enable_openai_responses_codex_adaptation = @enable_openai_responses_codex_adaptation, enable_openai_responses_payload_rules = @enable_openai_responses_payload_rules, openai_responses_payload_rules = @openai_responses_payload_rules,
    created_by = @created_by, user_id = @user_id, user_username = @user_username, extra = @extra
WHERE id = @id AND deleted_at IS NULL
RETURNING *;

-- name: APIKeyDelete :one
-- Soft deletion by primary key: reports keep the name. Returns the hashes to
-- evict. At most one row.
UPDATE api_keys SET deleted_at = @now::timestamptz, updated_at = @now::timestamptz, is_active = false
WHERE id = @id AND deleted_at IS NULL
RETURNING hashed_key, legacy_hash;

-- name: APIKeyActivate :one
-- Starts the life of a key in activation mode. The guard lets exactly one of
-- several first validations win. Returns the hashes to evict. At most one row.
UPDATE api_keys SET activated_at = @now::timestamptz, expires_at = @expires_at::timestamptz, updated_at = @now::timestamptz
WHERE id = @id AND expiration_mode = 'activation' AND activated_at IS NULL AND is_active AND deleted_at IS NULL
RETURNING hashed_key, legacy_hash;

-- name: APIKeyAddHash :exec
-- Gives a key that was known by its legacy hash alone the native one, by
-- primary key. At most one row.
UPDATE api_keys SET hashed_key = @hashed_key
WHERE id = @id AND hashed_key IS NULL AND deleted_at IS NULL;

-- name: APIKeyList :many
-- A page of the keys that are not deleted. Reads every key and keeps the top
-- of the order: 100,000 keys are few, and an index an order would cost each
-- write. At most row_limit rows.
SELECT sqlc.embed(k), l.last_used_at
FROM api_keys k
LEFT JOIN api_key_last_used l ON l.api_key_id = k.id
WHERE k.deleted_at IS NULL
    AND (sqlc.narg(is_active)::boolean IS NULL
        OR (k.is_active AND (k.expires_at IS NULL OR k.expires_at > @now::timestamptz)) = sqlc.narg(is_active)::boolean)
    AND (@permission::text = '' OR k.permissions = 'all' OR @permission::text = ANY (string_to_array(k.permissions, ',')))
    AND k.tags @> @tags::text[]
ORDER BY
    CASE WHEN @sort_by::text = 'name' AND NOT @descending::boolean THEN k.name END,
    CASE WHEN @sort_by::text = 'name' AND @descending::boolean THEN k.name END DESC,
    CASE WHEN @descending::boolean THEN NULL ELSE
        CASE @sort_by::text WHEN 'createdAt' THEN k.created_at
            WHEN 'lastUsedAt' THEN coalesce(l.last_used_at, '-infinity')
            WHEN 'expiresAt' THEN coalesce(k.expires_at, 'infinity') END END,
    CASE WHEN @descending::boolean THEN
        CASE @sort_by::text WHEN 'createdAt' THEN k.created_at
            WHEN 'lastUsedAt' THEN coalesce(l.last_used_at, '-infinity')
            WHEN 'expiresAt' THEN coalesce(k.expires_at, 'infinity') END END DESC,
    CASE WHEN NOT @descending::boolean THEN k.id END,
    CASE WHEN @descending::boolean THEN k.id END DESC
LIMIT @row_limit OFFSET @row_offset;

-- name: APIKeyCount :one
-- How many keys APIKeyList's filters let through, all pages together. One row.
SELECT count(*)
FROM api_keys k
WHERE k.deleted_at IS NULL
    AND (sqlc.narg(is_active)::boolean IS NULL
        OR (k.is_active AND (k.expires_at IS NULL OR k.expires_at > @now::timestamptz)) = sqlc.narg(is_active)::boolean)
    AND (@permission::text = '' OR k.permissions = 'all' OR @permission::text = ANY (string_to_array(k.permissions, ',')))
    AND k.tags @> @tags::text[];

-- name: APIKeyNames :many
-- Names for reports, deleted keys included, by primary key. One row an id that
-- exists.
SELECT id, name FROM api_keys WHERE id = ANY (@ids::uuid[]);

-- name: APIKeyLastUsedUpsert :exec
-- Notes when keys were last used, in the order of their ids (no deadlock
-- between processes), never backwards, and not where another process has noted a use
-- of less than 50 s before: what processes store once a minute each is one write a
-- minute together. One row an id.
INSERT INTO api_key_last_used (api_key_id, last_used_at)
SELECT u.api_key_id, u.last_used_at
FROM ROWS FROM (unnest(@api_key_ids::uuid[]), unnest(@times::timestamptz[])) AS u(api_key_id, last_used_at)
ORDER BY u.api_key_id
ON CONFLICT (api_key_id) DO UPDATE SET last_used_at = excluded.last_used_at
WHERE api_key_last_used.last_used_at < excluded.last_used_at - interval '50 seconds';
