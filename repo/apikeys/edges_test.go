package apikeys_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// JSONB stores some documents longer than they were given: a key that has one can
// be disabled all the same.
func TestAKeyCanAlwaysBeDisabled(t *testing.T) {
	b := setup(t)
	for _, extra := range []string{`{"x":1e999}`, `{"x":[` + strings.Repeat("1,", 30_000) + `1]}`} {
		k := b.create(apikeys.KeyData{Extra: json.RawMessage(extra)})
		require.NoError(t, b.keys.UpdateAPIKey(b.ctx(), k.ID, apikeys.Patch{IsActive: result.Set(false)}).Err())
		require.False(t, b.active(k.HashedKey))
		require.NotEmpty(t, b.get(k.ID).Extra, "what the patch leaves out stays")
	}
	grows := json.RawMessage(`{"x":[` + strings.Repeat("1e999,", 1000) + `1]}`)
	requireField(t, b.keys.CreateAPIKey(b.ctx(), apikeys.KeyData{Name: "n", Extra: grows}).Err(), result.InvalidQuery, "extra")
}

// A member that only a stored key has must not vanish into extra: a key imported
// as disabled would be active.
func TestStoredMembersAreNotExtra(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"isActive", "createdAt", "updatedAt", "lastUsedAt", "activatedAt"} {
		var d apikeys.KeyData
		requireField(t, json.Unmarshal([]byte(`{"name":"n","`+field+`":null}`), &d), result.InvalidQuery, field)
	}
}

// The native hash of a legacy key belongs to another, deleted key: the legacy one
// validates all the same.
func TestLegacyKeyWhoseNativeHashIsTaken(t *testing.T) {
	b := setup(t, legacy)
	gone := b.create(apikeys.KeyData{HashedKey: apikeys.HashPlaintext("cr_x")})
	require.NoError(t, b.keys.DeleteAPIKey(b.ctx(), gone.ID).Err())
	k := b.create(apikeys.KeyData{HashedKey: apikeys.LegacyHash("cr_x", encryptionKey), HashScheme: apikeys.HashLegacy})
	for range 2 {
		v, err := b.keys.ValidatePlaintext(b.ctx(), "cr_x").Get()
		require.NoError(t, err)
		require.Equal(t, k.ID, v.ID)
	}
}

// A session's own temporary table must not swallow what caches have to hear.
func TestTemporaryTablesDoNotShadowTheOutbox(t *testing.T) {
	b := setup(t, uncached)
	b.create(apikeys.KeyData{})
	conn, err := b.pool.Acquire(b.ctx())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(b.ctx(), "DELETE FROM cache_outbox; CREATE TEMP TABLE cache_outbox (kind text, key bytea); UPDATE api_keys SET is_active = false")
	require.NoError(t, err)
	var noted int
	require.NoError(t, conn.QueryRow(b.ctx(), "SELECT count(*) FROM public.cache_outbox").Scan(&noted))
	require.Equal(t, 1, noted)
}
