package legacy_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/legacy"
)

const keyID = "fc602767-4a7c-4f45-bac9-4eb3b160ecd7"

// What the service has stored is read without a fault and written as it was.
func TestKeysOfTheFixture(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "fixtures", "legacy-redis", "expected.json"))
	if os.IsNotExist(err) {
		t.Skip("needs ../shared/fixtures/legacy-redis beside the project")
	}
	require.NoError(t, err)
	var expected struct {
		Keys []struct{ Hash map[string]string }
	}
	require.NoError(t, json.Unmarshal(doc, &expected))
	require.Len(t, expected.Keys, 16)
	for _, want := range expected.Keys {
		k, faults := legacy.ParseKey(want.Hash["id"], want.Hash)
		require.Empty(t, faults)
		got := k.Fields()
		for _, field := range []string{"deletedBy", "deletedByType"} {
			require.Equal(t, want.Hash[field], k.Extra[field])
		}
		require.Equal(t, want.Hash, got)
	}
}

func TestParseKeyOfNothing(t *testing.T) {
	t.Parallel()
	hash := legacy.KeyHash("cr_test", "")
	want := legacy.Key{
		ID: keyID, LegacyHash: hash, Name: "Unnamed Key", WeeklyResetDay: 1, ExpirationMode: legacy.Fixed, ActivationUnit: legacy.Days,
		EnableOpenAIResponsesCodexAdaptation: true,
	}
	k, faults := legacy.ParseKey(keyID, map[string]string{"apiKey": hash})
	require.Empty(t, faults)
	require.Equal(t, want, k)

	for _, nothing := range []string{"", "null", "undefined"} {
		fields := k.Fields()
		for name := range fields {
			fields[name] = nothing
		}
		fields["apiKey"], fields["name"], fields["description"], fields["createdBy"], fields["userUsername"], fields["icon"] = hash, "", "", "", "", ""
		got, faults := legacy.ParseKey(keyID, fields)
		require.Empty(t, faults, nothing)
		got.ID = keyID
		require.Equal(t, want, got)
	}
}

func TestParseKeyFields(t *testing.T) {
	t.Parallel()
	hash := legacy.KeyHash("cr_test", "")
	for _, c := range []struct {
		field, text string
		want        any
		fault       bool
		get         func(legacy.Key) any
	}{
		{"permissions", "all", []string(nil), false, permissions},
		{"permissions", "[]", []string(nil), false, permissions},
		{"permissions", "claude", []string{"claude"}, false, permissions},
		{"permissions", "openai, claude", []string{"openai", "claude"}, false, permissions},
		{"permissions", `["droid","claude","droid"]`, []string{"droid", "claude"}, false, permissions},
		{"permissions", `["all"]`, []string{"none"}, true, permissions},
		{"permissions", `["claude,openai"]`, []string{"none"}, true, permissions},
		{"permissions", `["claude"`, []string{"none"}, true, permissions},
		{"permissions", ",", []string{"none"}, true, permissions},
		{"permissions", "bedrock", []string{"bedrock"}, false, permissions},
		{"tokenLimit", "9007199254740991", int64(9007199254740991), false, func(k legacy.Key) any { return k.TokenLimit }},
		{"tokenLimit", "1e6", int64(1_000_000), false, func(k legacy.Key) any { return k.TokenLimit }},
		{"tokenLimit", "NaN", int64(0), true, func(k legacy.Key) any { return k.TokenLimit }},
		{"tokenLimit", "-1", int64(0), true, func(k legacy.Key) any { return k.TokenLimit }},
		{"dailyCostLimit", "1e-7", "0.0000001", false, func(k legacy.Key) any { return k.DailyCostLimit.String() }},
		{"dailyCostLimit", "4.82742063500000001", "4.827420635", false, func(k legacy.Key) any { return k.DailyCostLimit.String() }},
		{"isActive", "1", false, true, func(k legacy.Key) any { return k.IsActive }},
		{"enableOpenAIResponsesCodexAdaptation", "false", false, false, func(k legacy.Key) any { return k.EnableOpenAIResponsesCodexAdaptation }},
		{"isDeleted", "false", false, false, func(k legacy.Key) any { return k.IsDeleted }},
		{"expiresAt", "2026-11-21T02:30:00.000Z", time.Date(2026, 11, 21, 2, 30, 0, 0, time.UTC), false, func(k legacy.Key) any { return k.ExpiresAt }},
		{"expiresAt", "Invalid Date", time.Time{}, true, func(k legacy.Key) any { return k.ExpiresAt }},
		{"expirationMode", "weekly", "fixed", true, func(k legacy.Key) any { return k.ExpirationMode }},
		{"tags", `["a",1]`, []string{"a"}, true, func(k legacy.Key) any { return k.Tags }},
		{"tags", "[object Object]", []string(nil), true, func(k legacy.Key) any { return k.Tags }},
		{"serviceRates", `{"claude":1.5,"codex":"2","ccr":null}`, map[string]string{"claude": "1.5", "codex": "2"}, true, rates},
		{"openaiResponsesPayloadRules", `[{"a": 1}]`, json.RawMessage(`[{"a": 1}]`), false, func(k legacy.Key) any { return k.OpenAIResponsesPayloadRules }},
		{"claudeAccountId", "group:x", "group:x", false, func(k legacy.Key) any { return k.ClaudeAccountID }},
		{"name", "null", "null", false, func(k legacy.Key) any { return k.Name }},
		{"id", "other", keyID, true, func(k legacy.Key) any { return k.ID }},
		{"future", "1", map[string]string{"future": "1"}, false, func(k legacy.Key) any { return k.Extra }},
	} {
		k, faults := legacy.ParseKey(keyID, map[string]string{"apiKey": hash, c.field: c.text})
		require.Equal(t, c.want, c.get(k), "%s %s", c.field, c.text)
		if c.fault {
			require.Equal(t, []string{c.field}, faults)
		} else {
			require.Empty(t, faults, "%s %s", c.field, c.text)
		}
	}
}

func permissions(k legacy.Key) any { return k.Permissions }

func rates(k legacy.Key) any {
	texts := make(map[string]string)
	for service, rate := range k.ServiceRates {
		texts[service] = rate.String()
	}
	return texts
}

func TestKeyHashes(t *testing.T) {
	t.Parallel()
	native, old, other := legacy.KeyHash("cr_test", ""), legacy.KeyHash("cr_test", "pepper"), legacy.KeyHash("cr_other", "pepper")
	for _, k := range []legacy.Key{{LegacyHash: old}, {NativeHash: native}, {LegacyHash: old, NativeHash: native}} {
		got, _ := legacy.ParseKey(keyID, k.Fields())
		require.Equal(t, k.Hashes(), got.Hashes())
		require.Equal(t, k.LegacyHash, got.LegacyHash)
	}
	both := legacy.Key{LegacyHash: old, NativeHash: native}
	fields := both.Fields()
	fields["apiKey"] = other // the service gave the key a new plaintext
	got, _ := legacy.ParseKey(keyID, fields)
	require.Equal(t, []string{other}, got.Hashes())

	_, faults := legacy.ParseKey(keyID, map[string]string{"apiKey": "cr_plain"})
	require.Equal(t, []string{"apiKey"}, faults)
}

func TestKeyExtra(t *testing.T) {
	t.Parallel()
	const doc = `{"note":"text","5":"a","n":5,"deep":{"a":[1]},"isDeleted":"true","relaystoreHash":"x","none":null}`
	var k legacy.Key
	require.NoError(t, k.SetExtra(json.RawMessage(doc)))
	fields := k.Fields()
	require.Equal(t, "text", fields["note"])
	require.NotContains(t, fields, "isDeleted", "a field of the service is not for the caller to write")
	got, _ := legacy.ParseKey(keyID, fields)
	require.JSONEq(t, doc, string(got.ExtraDocument()))
	require.False(t, got.IsDeleted)

	require.NoError(t, k.SetExtra(nil))
	require.Nil(t, k.ExtraDocument())
	require.Error(t, k.SetExtra(json.RawMessage(`[]`)))
}

func TestActivated(t *testing.T) {
	t.Parallel()
	created, first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		k     legacy.Key
		want  time.Time
		waits bool
	}{
		{legacy.Key{ExpirationMode: legacy.Fixed, IsActivated: true, ActivatedAt: created}, time.Time{}, false},
		{legacy.Key{ExpirationMode: legacy.Fixed, IsActivated: true, ActivatedAt: first}, first, false},
		{legacy.Key{ExpirationMode: legacy.Activation, ActivatedAt: first}, time.Time{}, true},
		{legacy.Key{ExpirationMode: legacy.Activation, IsActivated: true}, created, false},
	} {
		c.k.CreatedAt = created
		require.Equal(t, c.want, c.k.Activated())
		require.Equal(t, c.waits, c.k.Waits())
	}
}

func TestCreatedAtKeepsMicroseconds(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 1, 1, 0, 0, 0, 123456000, time.UTC)
	k := legacy.Key{CreatedAt: created}
	fields := k.Fields()
	require.Equal(t, "2026-01-01T00:00:00.123Z", fields["createdAt"])
	got, _ := legacy.ParseKey(keyID, fields)
	require.Equal(t, created, got.CreatedAt)
	fields["createdAt"] = "2026-01-01T00:00:00.124Z"
	got, _ = legacy.ParseKey(keyID, fields)
	require.Equal(t, created.Truncate(time.Millisecond).Add(time.Millisecond), got.CreatedAt)
}

// What has been read and written once is written the same from then on.
func FuzzParseKey(f *testing.F) {
	f.Add("permissions", `["a","b"]`, "serviceRates", `{"x":1}`)
	f.Add("relaystoreExtra", `{"a":1}`, "a", "b")
	f.Add("tags", "[\"\\u0000\"]", "name", "\xff")
	f.Fuzz(func(t *testing.T, name1, text1, name2, text2 string) {
		k, _ := legacy.ParseKey(keyID, map[string]string{name1: text1, name2: text2, "apiKey": legacy.KeyHash("", "")})
		fields := k.Fields()
		again, faults := legacy.ParseKey(keyID, fields)
		if k.Permissions == nil || k.Permissions[0] != "none" {
			require.Empty(t, faults)
		}
		require.Equal(t, fields, again.Fields())
		require.True(t, json.Valid(append(k.ExtraDocument(), ' ')) || k.ExtraDocument() == nil)
		require.Equal(t, maps.Clone(k.Extra), again.Extra)
		require.NotEqual(t, decimal.New(-1, 0), k.DailyCostLimit)
	})
}
