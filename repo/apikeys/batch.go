package apikeys

import "github.com/seed14a526e0/relaystore/repo/batch"

const (
	identity = batch.InCreate | batch.InWhere | batch.Unique
	editable = batch.InCreate | batch.InUpdate | batch.InWhere
	opaque   = batch.InCreate | batch.InUpdate // lists and documents: where does not compare them
	readable = batch.InWhere                   // the store's own
)

// plaintextColumn is the pseudo-column that a key's hashes are made from.
const plaintextColumn = "api_key"

// columns are what BatchOperation may name of api_keys.
var columns = []batch.Column{
	{Name: plaintextColumn, Kind: batch.Pseudo, Uses: batch.InCreate},
	{Name: "id", Kind: batch.UUID, Uses: identity},
	{Name: "hashed_key", Kind: batch.Bytes, Uses: identity},
	{Name: "legacy_hash", Kind: batch.Bytes, Uses: identity},
	{Name: "name", Kind: batch.Text, Uses: editable},
	{Name: "description", Kind: batch.Text, Uses: editable},
	{Name: "icon", Kind: batch.Text, Uses: editable},
	{Name: "tags", Kind: batch.Texts, Uses: opaque},
	{Name: "permissions", Kind: batch.Text, Uses: editable},
	{Name: "is_active", Kind: batch.Bool, Uses: batch.InUpdate | batch.InWhere},
	{Name: "token_limit", Kind: batch.BigInt, Uses: editable},
	{Name: "concurrency_limit", Kind: batch.BigInt, Uses: editable},
	{Name: "daily_cost_limit", Kind: batch.Numeric, Uses: editable},
	{Name: "total_cost_limit", Kind: batch.Numeric, Uses: editable},
	{Name: "weekly_opus_cost_limit", Kind: batch.Numeric, Uses: editable},
	{Name: "weekly_reset_day", Kind: batch.SmallInt, Uses: editable},
	{Name: "weekly_reset_hour", Kind: batch.SmallInt, Uses: editable},
	{Name: "rate_limit_window", Kind: batch.BigInt, Uses: editable},
	{Name: "rate_limit_requests", Kind: batch.BigInt, Uses: editable},
	{Name: "rate_limit_cost", Kind: batch.Numeric, Uses: editable},
	{Name: "expires_at", Kind: batch.Time, Uses: editable},
	{Name: "expiration_mode", Kind: batch.Text, Uses: editable},
	{Name: "activation_days", Kind: batch.BigInt, Uses: editable},
	{Name: "activation_unit", Kind: batch.Text, Uses: editable},
	{Name: "activated_at", Kind: batch.Time, Uses: readable},
	{Name: "claude_account_id", Kind: batch.Text, Uses: editable},
	{Name: "claude_console_account_id", Kind: batch.Text, Uses: editable},
	{Name: "gemini_account_id", Kind: batch.Text, Uses: editable},
	{Name: "openai_account_id", Kind: batch.Text, Uses: editable},
	{Name: "azure_openai_account_id", Kind: batch.Text, Uses: editable},
	{Name: "bedrock_account_id", Kind: batch.Text, Uses: editable},
	{Name: "droid_account_id", Kind: batch.Text, Uses: editable},
	{Name: "ccr_account_id", Kind: batch.Text, Uses: editable},
	{Name: "enable_model_restriction", Kind: batch.Bool, Uses: editable},
	{Name: "restricted_models", Kind: batch.Texts, Uses: opaque},
	{Name: "enable_client_restriction", Kind: batch.Bool, Uses: editable},
	{Name: "allowed_clients", Kind: batch.Texts, Uses: opaque},
	{Name: "service_rates", Kind: batch.JSON, Uses: opaque},
	{Name: "enable_openai_responses_codex_adaptation", Kind: batch.Bool, Uses: editable},
	{Name: "enable_openai_responses_payload_rules", Kind: batch.Bool, Uses: editable},
	{Name: "openai_responses_payload_rules", Kind: batch.JSON, Uses: opaque},
	{Name: "created_by", Kind: batch.Text, Uses: editable},
	{Name: "user_id", Kind: batch.Text, Uses: editable},
	{Name: "user_username", Kind: batch.Text, Uses: editable},
	{Name: "extra", Kind: batch.JSON, Uses: opaque},
	{Name: "created_at", Kind: batch.Time, Uses: readable},
	{Name: "updated_at", Kind: batch.Time, Uses: readable},
	{Name: "deleted_at", Kind: batch.Time},
}
