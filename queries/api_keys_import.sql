-- name: APIKeyImport :one
-- Writes keys of another service as they are there, from a JSON array of rows, by
-- primary key. A stored key that has changed since the source's did is left alone, and
-- so is one that is the same; a native hash that was added here stays. With @replaces, the
-- source's counts whatever is stored. One row: the ids of what was written.
WITH written AS (
INSERT INTO api_keys (
    id, hashed_key, legacy_hash, created_at, updated_at, deleted_at,
    name, description, icon, tags, permissions, is_active,
    token_limit, concurrency_limit, daily_cost_limit, total_cost_limit, weekly_opus_cost_limit,
    weekly_reset_day, weekly_reset_hour, rate_limit_window, rate_limit_requests, rate_limit_cost,
    expires_at, expiration_mode, activation_days, activation_unit, activated_at,
    claude_account_id, claude_console_account_id, gemini_account_id, openai_account_id,
    azure_openai_account_id, bedrock_account_id, droid_account_id, ccr_account_id,
    enable_model_restriction, restricted_models, enable_client_restriction, allowed_clients, service_rates,
    enable_openai_responses_codex_adaptation, enable_openai_responses_payload_rules, openai_responses_payload_rules,
    created_by, user_id, user_username, extra
)
SELECT
    k.id, k.hashed_key, k.legacy_hash, k.created_at, k.updated_at, k.deleted_at,
    k.name, k.description, k.icon, k.tags, k.permissions, k.is_active,
    k.token_limit, k.concurrency_limit, k.daily_cost_limit, k.total_cost_limit, k.weekly_opus_cost_limit,
    k.weekly_reset_day, k.weekly_reset_hour, k.rate_limit_window, k.rate_limit_requests, k.rate_limit_cost,
    k.expires_at, k.expiration_mode, k.activation_days, k.activation_unit, k.activated_at,
    k.claude_account_id, k.claude_console_account_id, k.gemini_account_id, k.openai_account_id,
    k.azure_openai_account_id, k.bedrock_account_id, k.droid_account_id, k.ccr_account_id,
    k.enable_model_restriction, k.restricted_models, k.enable_client_restriction, k.allowed_clients, k.service_rates,
    k.enable_openai_responses_codex_adaptation, k.enable_openai_responses_payload_rules, k.openai_responses_payload_rules,
    k.created_by, k.user_id, k.user_username, k.extra
FROM jsonb_populate_recordset(NULL::api_keys, @documents::jsonb) AS k
ORDER BY k.id
ON CONFLICT (id) DO UPDATE SET
    hashed_key = CASE WHEN @replaces::boolean THEN excluded.hashed_key ELSE coalesce(excluded.hashed_key, api_keys.hashed_key) END,
    legacy_hash = excluded.legacy_hash,
    created_at = excluded.created_at, updated_at = excluded.updated_at, deleted_at = excluded.deleted_at,
    name = excluded.name, description = excluded.description, icon = excluded.icon, tags = excluded.tags,
    permissions = excluded.permissions, is_active = excluded.is_active,
    token_limit = excluded.token_limit, concurrency_limit = excluded.concurrency_limit,
    daily_cost_limit = excluded.daily_cost_limit, total_cost_limit = excluded.total_cost_limit,
    weekly_opus_cost_limit = excluded.weekly_opus_cost_limit,
    weekly_reset_day = excluded.weekly_reset_day, weekly_reset_hour = excluded.weekly_reset_hour,
    rate_limit_window = excluded.rate_limit_window, rate_limit_requests = excluded.rate_limit_requests,
    rate_limit_cost = excluded.rate_limit_cost,
    expires_at = excluded.expires_at, expiration_mode = excluded.expiration_mode,
    activation_days = excluded.activation_days, activation_unit = excluded.activation_unit, activated_at = excluded.activated_at,
    claude_account_id = excluded.claude_account_id, claude_console_account_id = excluded.claude_console_account_id,
    gemini_account_id = excluded.gemini_account_id, openai_account_id = excluded.openai_account_id,
    azure_openai_account_id = excluded.azure_openai_account_id, bedrock_account_id = excluded.bedrock_account_id,
    droid_account_id = excluded.droid_account_id, ccr_account_id = excluded.ccr_account_id,
    enable_model_restriction = excluded.enable_model_restriction, restricted_models = excluded.restricted_models,
    enable_client_restriction = excluded.enable_client_restriction, allowed_clients = excluded.allowed_clients,
    service_rates = excluded.service_rates,
    enable_openai_responses_codex_adaptation = excluded.enable_openai_responses_codex_adaptation,
    enable_openai_responses_payload_rules = excluded.enable_openai_responses_payload_rules,
    openai_responses_payload_rules = excluded.openai_responses_payload_rules,
    created_by = excluded.created_by, user_id = excluded.user_id, user_username = excluded.user_username, extra = excluded.extra
WHERE (@replaces::boolean OR api_keys.updated_at <= excluded.updated_at)
    AND (to_jsonb(api_keys) - 'hashed_key' IS DISTINCT FROM to_jsonb(excluded) - 'hashed_key'
        OR api_keys.hashed_key IS DISTINCT FROM CASE WHEN @replaces::boolean THEN excluded.hashed_key ELSE coalesce(excluded.hashed_key, api_keys.hashed_key) END)
RETURNING id)
SELECT coalesce(array_agg(w.id), '{}')::uuid[] AS ids FROM written w;

-- name: APIKeyImported :many
-- When the stored keys of some ids have changed, and what they are known by, deleted
-- ones included, by primary key. A row an id that exists.
SELECT id, hashed_key, legacy_hash, updated_at FROM api_keys WHERE id = ANY (@ids::uuid[]);
