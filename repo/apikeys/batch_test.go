package apikeys_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// The allow-list is the real table: every column, each with its type, and where it
// says that a value is the only one, an index says so, too.
func TestBatchColumnsAreTheSchemas(t *testing.T) {
	b := setup(t)
	listed, unique := map[string]string{}, []string{}
	for _, c := range b.keys.Batch().Columns {
		if c.Kind != batch.Pseudo {
			listed[c.Name] = string(c.Kind)
		}
		if c.Uses&batch.Unique != 0 {
			unique = append(unique, c.Name)
		}
	}
	rows, err := b.pool.Query(t.Context(), `SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute
		WHERE attrelid = 'api_keys'::regclass AND attnum > 0 AND NOT attisdropped`)
	require.NoError(t, err)
	stored := map[string]string{}
	var name, kind string
	_, err = pgx.ForEachRow(rows, []any{&name, &kind}, func() error { stored[name] = kind; return nil })
	require.NoError(t, err)
	require.Equal(t, stored, listed)

	rows, err = b.pool.Query(t.Context(), `SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		WHERE i.indrelid = 'api_keys'::regclass AND i.indisunique AND i.indnkeyatts = 1 AND i.indpred IS NULL`)
	require.NoError(t, err)
	indexed, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.ElementsMatch(t, indexed, unique)
}

func (b *bundle) batch(ops ...batch.Operation) ([]any, error) {
	b.Helper()
	return b.Transactions.BatchOperation(b.ctx(), ops, repo.TxOptions{}).Get()
}

func create(data map[string]any) batch.Operation {
	return batch.Operation{Type: batch.Create, Table: "api_keys", Data: data}
}

// A batch's key is the one that CreateAPIKey would have made, whatever is given.
func TestBatchCreatesWhatCreateAPIKeyCreates(t *testing.T) {
	b := setup(t, legacy)
	for i, data := range []map[string]any{
		{},
		{"description": "d", "icon": "i", "tags": []string{`a"b\`, "{,}", "ü"}, "permissions": "claude,gemini", "user_username": "NULL"},
		{"daily_cost_limit": result.MustMoney("0.1"), "token_limit": 1 << 50, "weekly_reset_day": 7, "weekly_reset_hour": 23},
		{"expires_at": "2035-01-01T00:00:00.123456Z", "expiration_mode": "activation", "activation_days": 3, "activation_unit": "hours"},
		{"restricted_models": []string{"m"}, "allowed_clients": nil, "service_rates": map[string]any{"claude": 1.5}, "extra": map[string]any{"a": []int{1}}},
		{"enable_openai_responses_codex_adaptation": false, "openai_responses_payload_rules": []any{1}, "openai_account_id": "o"},
	} {
		data["name"] = fmt.Sprint("key ", i)
		results, err := b.batch(create(data))
		require.NoError(t, err)
		made := results[0].(apikeys.BatchCreated)
		var like apikeys.KeyData
		names := batch.Data{}
		for name, value := range data {
			names[name] = jsonOf(t, value)
		}
		require.NoError(t, batch.Fill(&like, names))
		want, got := b.get(b.create(like).ID), b.get(made.ID)
		require.Equal(t, made.CreatedAt, got.CreatedAt)
		require.Equal(t, got.CreatedAt, got.UpdatedAt)
		want.ID, want.HashedKey, want.CreatedAt, want.UpdatedAt = got.ID, got.HashedKey, got.CreatedAt, got.UpdatedAt
		require.Equal(t, want, got)
		require.True(t, strings.HasPrefix(made.APIKey, "cr_"))
		require.Equal(t, []string{apikeys.HashPlaintext(made.APIKey), apikeys.LegacyHash(made.APIKey, encryptionKey)}, []string{made.HashedKey, made.LegacyHash})
		v, err := b.keys.ValidatePlaintext(t.Context(), made.APIKey).Get()
		require.NoError(t, err)
		require.Equal(t, made.ID, v.ID)
	}
}

func TestBatchKeysAreHashed(t *testing.T) {
	b := setup(t)
	native, old := apikeys.HashPlaintext("a"), apikeys.LegacyHash("b", encryptionKey)
	results, err := b.batch(
		create(map[string]any{"name": "taken", "api_key": "my own key"}),
		create(map[string]any{"name": "native", "hashed_key": native}),
		create(map[string]any{"name": "legacy", "legacy_hash": strings.ToUpper(old), "api_key": nil}),
	)
	require.NoError(t, err)
	taken, imported, ancient := results[0].(apikeys.BatchCreated), results[1].(apikeys.BatchCreated), results[2].(apikeys.BatchCreated)
	require.Equal(t, "my own key", taken.APIKey)
	require.Equal(t, []string{"", native, ""}, []string{imported.APIKey, imported.HashedKey, imported.LegacyHash})
	require.Equal(t, []string{"", "", old}, []string{ancient.APIKey, ancient.HashedKey, ancient.LegacyHash})
	require.True(t, b.active(apikeys.HashPlaintext("my own key")))
	require.True(t, b.active(old))
	require.Equal(t, apikeys.HashLegacy, b.get(ancient.ID).HashScheme)
}

// A duplicate names the column that has it.
func TestBatchNamesTheDuplicate(t *testing.T) {
	b := setup(t)
	hash := apikeys.HashPlaintext("a")
	for _, column := range []string{"hashed_key", "legacy_hash"} {
		op := create(map[string]any{"name": "n", column: hash})
		_, err := b.batch(op)
		require.NoError(t, err)
		_, err = b.batch(create(map[string]any{"name": "n"}), op)
		requireField(t, err, result.DuplicateKey, column)
		require.Equal(t, 1, result.From(err).Details["index"])
	}
}

func TestBatchRefusesWhatTheMethodsRefuse(t *testing.T) {
	b := setup(t)
	k := b.create(apikeys.KeyData{})
	for i, c := range []struct {
		field string
		data  map[string]any
	}{
		{"name", map[string]any{"description": "x"}},
		{"name", map[string]any{"name": ""}},
		{"name", map[string]any{"name": 7}},
		{"id", map[string]any{"name": "n", "id": "x"}},
		{"permissions", map[string]any{"name": "n", "permissions": "root"}},
		{"daily_cost_limit", map[string]any{"name": "n", "daily_cost_limit": "1"}},
		{"openai_account_id", map[string]any{"name": "n", "openai_account_id": strings.Repeat("x", 256)}},
		{"enable_openai_responses_codex_adaptation", map[string]any{"name": "n", "enable_openai_responses_codex_adaptation": "x"}},
		{"is_active", map[string]any{"name": "n", "is_active": false}},
		{"created_at", map[string]any{"name": "n", "created_at": "2025-01-01T00:00:00Z"}},
		{"deleted_at", map[string]any{"name": "n", "deleted_at": nil}},
		{"hash_scheme", map[string]any{"name": "n", "hash_scheme": "legacy"}},
		{"hashed_key", map[string]any{"name": "n", "hashed_key": "x"}},
		{"legacy_hash", map[string]any{"name": "n", "legacy_hash": ""}},
		{"api_key", map[string]any{"name": "n", "api_key": ""}},
		{"api_key", map[string]any{"name": "n", "api_key": strings.Repeat("x", 1025)}},
		{"api_key", map[string]any{"name": "n", "api_key": "x", "hashed_key": apikeys.HashPlaintext("x")}},
		{"description", map[string]any{"name": "n", "description": "a\x00b"}},
		{"description", map[string]any{"name": "n", "description": "a\xffb"}},
		{"tags", map[string]any{"name": "n", "tags": []string{""}}},
		{"expires_at", map[string]any{"name": "n", "expires_at": "tomorrow"}},
		{"extra", map[string]any{"name": "n", "extra": []int{}}},
	} {
		_, err := b.batch(create(map[string]any{"name": "good"}), create(c.data))
		requireField(t, err, result.InvalidQuery, c.field)
		require.Equal(t, 1, result.From(err).Details["index"], i)
	}
	for field, data := range map[string]map[string]any{
		"name": {"name": nil}, "is_active": {"is_active": nil}, "id": {"id": k.ID}, "hashed_key": {"hashed_key": k.HashedKey},
		"api_key": {"api_key": "x"}, "updated_at": {"updated_at": "2025-01-01T00:00:00Z"}, "token_limit": {"token_limit": -1}, "data": {},
	} {
		_, err := b.batch(batch.Operation{Type: batch.Update, Table: "api_keys", Data: data, Where: map[string]any{"id": k.ID}})
		requireField(t, err, result.InvalidQuery, field)
	}
	require.Equal(t, 1, b.count())
}

// A batch's update is UpdateAPIKey's; its time of change only grows.
func TestBatchUpdates(t *testing.T) {
	b := setup(t)
	k := b.create(apikeys.KeyData{Description: "d", Tags: []string{"x"}, TokenLimit: 7, Permissions: "claude"})
	before := b.get(k.ID)
	_, err := b.pool.Exec(t.Context(), "UPDATE api_keys SET updated_at = now() + interval '1 hour'")
	require.NoError(t, err)
	ahead := b.get(k.ID).UpdatedAt
	results, err := b.batch(batch.Operation{
		Type: batch.Update, Table: "api_keys", Where: map[string]any{"id": strings.ToUpper(k.ID)},
		Data: map[string]any{"description": nil, "permissions": nil, "tags": []string{"y"}, "daily_cost_limit": 2.5, "expires_at": "2035-01-01T00:00:00Z"},
	})
	require.NoError(t, err)
	require.Equal(t, batch.Affected{IDs: []string{k.ID}}, results[0])
	got := b.get(k.ID)
	require.Equal(t, ahead.Add(1000), got.UpdatedAt)
	before.Description, before.Permissions, before.Tags, before.DailyCostLimit = "", "all", []string{"y"}, result.MustMoney("2.5")
	before.ExpiresAt, before.UpdatedAt = got.ExpiresAt, got.UpdatedAt
	require.Equal(t, before, got)
	require.Equal(t, 2035, got.ExpiresAt.Year())
}

// A deletion is the soft one, and what is deleted is not there for a batch either.
func TestBatchDeletes(t *testing.T) {
	b := setup(t)
	k, other := b.create(apikeys.KeyData{}), b.create(apikeys.KeyData{})
	here := map[string]any{"id": k.ID}
	drop := batch.Operation{Type: batch.Delete, Table: "api_keys", Where: here}
	results, err := b.batch(drop, drop, batch.Operation{Type: batch.Update, Table: "api_keys", Data: map[string]any{"name": "x"}, Where: here})
	require.NoError(t, err)
	require.Equal(t, []any{batch.Affected{IDs: []string{k.ID}}, batch.Affected{IDs: []string{}}, batch.Affected{IDs: []string{}}}, results)
	require.ErrorIs(t, b.keys.GetAPIKey(t.Context(), k.ID).Err(), result.RecordNotFound)
	require.ErrorIs(t, b.keys.ValidateAPIKey(t.Context(), k.HashedKey).Err(), result.RecordNotFound)
	require.Equal(t, 2, b.count(), "reports keep the row")
	b.get(other.ID)
	_, err = b.batch(create(map[string]any{"name": "again", "id": k.ID}))
	requireField(t, err, result.DuplicateKey, "id")
	_, err = b.batch(create(map[string]any{"name": "again", "hashed_key": other.HashedKey}))
	requireField(t, err, result.DuplicateKey, "hashed_key")
}
