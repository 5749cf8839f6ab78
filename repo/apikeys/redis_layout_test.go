package apikeys_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// What is written, a reader finds who knows the layout alone.
func TestRedisLayout(t *testing.T) {
	s := onRedis(t)
	s.indexed()
	expires := time.Date(2099, 1, 2, 3, 4, 5, 678e6, time.UTC)
	off := false
	id := uuid.NewString()
	k := s.create(apikeys.KeyData{
		ID: id, Name: "İSTANBUL ΟΔΟΣ 🔑", Description: "a \"b\" \\c <d>", Permissions: "claude,openai", TokenLimit: 1<<53 - 1, ConcurrencyLimit: 2,
		DailyCostLimit: result.MustMoney("12.5"), TotalCostLimit: result.MustMoney("0.000001"), ExpiresAt: expires, Tags: []string{"team-a", "生产"},
		RateLimitWindow: 60, RateLimitRequests: 100, WeeklyResetDay: 3, WeeklyResetHour: 23, ClaudeAccountID: "group:g", OpenAIAccountID: "responses:r",
		EnableModelRestriction: true, RestrictedModels: []string{"m"}, ServiceRates: map[string]result.Money{"claude": result.MustMoney("1.5")},
		EnableOpenAIResponsesCodexAdaptation: &off, OpenAIResponsesPayloadRules: json.RawMessage(`[{"a":1}]`), CreatedBy: "admin", UserID: "u",
		Extra: json.RawMessage(`{"future":"x","deep":{"n":1},"isDeleted":"true"}`),
	})
	fields := s.hash("apikey:" + id)
	got := decodeLegacy(t, fields)
	require.Equal(t, legacyKey{
		Texts: map[string]string{
			"id": id, "name": "İSTANBUL ΟΔΟΣ 🔑", "description": "a \"b\" \\c <d>", "apiKey": apikeys.LegacyHash(k.APIKey, encryptionKey), "createdBy": "admin",
			"userId": "u", "userUsername": "", "icon": "", "expirationMode": "fixed", "activationUnit": "days", "claudeAccountId": "group:g",
			"claudeConsoleAccountId": "", "geminiAccountId": "", "openaiAccountId": "responses:r", "azureOpenaiAccountId": "", "bedrockAccountId": "",
			"droidAccountId": "", "ccrAccountId": "", "deletedBy": "", "deletedByType": "", "openaiResponsesPayloadRules": `[{"a":1}]`,
		},
		Numbers: map[string]float64{
			"tokenLimit": 1<<53 - 1, "concurrencyLimit": 2, "rateLimitWindow": 60, "rateLimitRequests": 100, "rateLimitCost": 0, "dailyCostLimit": 12.5,
			"totalCostLimit": 0.000001, "weeklyOpusCostLimit": 0, "activationDays": 0, "weeklyResetDay": 3, "weeklyResetHour": 23,
		},
		Flags: map[string]bool{
			"isActive": true, "isDeleted": false, "isActivated": true, "enableModelRestriction": true, "enableClientRestriction": false,
			"enableOpenAIResponsesCodexAdaptation": false, "enableOpenAIResponsesPayloadRules": false,
		},
		Times: map[string]time.Time{
			"createdAt": k.CreatedAt.Truncate(time.Millisecond), "activatedAt": k.CreatedAt.Truncate(time.Millisecond), "expiresAt": expires,
		},
		Lists: map[string][]string{
			"permissions": {"claude", "openai"}, "restrictedModels": {"m"}, "allowedClients": {}, "tags": {"team-a", "生产"},
		},
		Rates: map[string]float64{"claude": 1.5},
	}, got)
	require.Equal(t, "x", fields["future"])
	require.NotContains(t, fields, "isDeleted")
	require.NotContains(t, fields, "updatedAt")
	ttl, err := s.do("TTL", "apikey:"+id).AsInt64()
	require.NoError(t, err)
	require.InDelta(t, 365*24*3600, ttl, 60)
	require.Equal(t, map[string]string{k.HashedKey: id, fields["apiKey"]: id}, s.hash("apikey:hash_map"))
	require.Equal(t, map[string]int64{id: k.CreatedAt.UnixMilli()}, s.scores("apikey:idx:createdAt"))
	require.Equal(t, map[string]int64{id: 0}, s.scores("apikey:idx:lastUsedAt"))
	require.Equal(t, map[string]int64{"i̇stanbul οδος 🔑\x00" + id: 0}, s.scores("apikey:idx:name"))
	s.indexes(id, []string{id}, nil, map[string]bool{"team-a": true, "生产": true})

	s.update(id, apikeys.Patch{Name: result.Set("Other"), Tags: result.Set([]string{"b", "team-a"}), IsActive: result.Set(false)})
	require.Equal(t, map[string]int64{"other\x00" + id: 0}, s.scores("apikey:idx:name"))
	s.indexes(id, nil, nil, map[string]bool{"team-a": true, "b": true})
	require.NotEmpty(t, s.hash("apikey:" + id)["updatedAt"])

	require.NoError(t, s.keys.DeleteAPIKey(s.ctx(), id).Err())
	got = decodeLegacy(t, s.hash("apikey:"+id))
	require.True(t, got.Flags["isDeleted"] && !got.Flags["isActive"] && !got.Times["deletedAt"].IsZero())
	require.Equal(t, "system system", got.Texts["deletedBy"]+" "+got.Texts["deletedByType"])
	require.Equal(t, fields["apiKey"], got.Texts["apiKey"], "the hash stays")
	require.Empty(t, s.hash("apikey:hash_map"))
	s.indexes(id, nil, []string{id}, map[string]bool{"team-a": true, "b": true})
}

func (b *bundle) update(id string, p apikeys.Patch) apikeys.APIKey {
	b.Helper()
	k, err := b.keys.UpdateAPIKey(b.ctx(), id, p).Get()
	require.NoError(b, err)
	return k
}

// indexes checks the sets of a Redis with one key.
func (s *shared) indexes(id string, active, deleted []string, tags map[string]bool) {
	s.Helper()
	require.Equal(s, []string{id}, s.members("apikey:idx:all"))
	require.ElementsMatch(s, active, s.members("apikey:set:active"))
	require.ElementsMatch(s, deleted, s.members("apikey:set:deleted"))
	var names []string
	for tag := range tags {
		require.Equal(s, []string{id}, s.members("apikey:tag:"+tag))
		names = append(names, tag)
	}
	require.ElementsMatch(s, names, s.members("apikey:tags:all"))
}

// Where the service has made no indexes, nobody else does.
func TestRedisWithoutIndexes(t *testing.T) {
	s := onRedis(t)
	k := s.create(apikeys.KeyData{Tags: []string{"t"}})
	s.update(k.ID, apikeys.Patch{Name: result.Set("n")})
	require.NoError(t, s.keys.StoreLastUsed(t.Context(), map[uuid.UUID]time.Time{uuid.MustParse(k.ID): time.Now()}))
	keys, err := s.do("KEYS", "*").AsStrSlice()
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"apikey:" + k.ID, "apikey:hash_map", "relaystore:epoch:apikey"}, keys)
}

// What the service has written is read as it answers itself.
func TestRedisFixture(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "fixtures", "legacy-redis")
	doc, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if os.IsNotExist(err) {
		t.Skip("needs ../shared/fixtures/legacy-redis beside the project")
	}
	require.NoError(t, err)
	var expected struct {
		Keys []struct {
			ID              string
			APIKeyPlaintext string
			Hash            map[string]string
		}
	}
	require.NoError(t, json.Unmarshal(doc, &expected))
	require.Len(t, expected.Keys, 16)
	s := onRedis(t, withKey("fixture-encryption-key-32-chars!"))
	testdb.PipeRedis(t, s.url, filepath.Join(dir, "legacy-redis.resp.gz"))
	listed := 0
	for _, want := range expected.Keys {
		d := decodeLegacy(t, want.Hash)
		if d.Flags["isDeleted"] {
			require.ErrorIs(t, s.keys.GetAPIKey(t.Context(), want.ID).Err(), result.RecordNotFound)
			require.ErrorIs(t, s.keys.ValidatePlaintext(t.Context(), want.APIKeyPlaintext).Err(), result.RecordNotFound)
			continue
		}
		listed++
		k := s.get(want.ID)
		require.Equal(t, d, decoded(k, d))
		require.Empty(t, k.Extra)
		if d.Flags["isActivated"] {
			v, err := s.keys.ValidatePlaintext(t.Context(), want.APIKeyPlaintext).Get()
			require.NoError(t, err)
			require.Equal(t, d.Flags["isActive"] && (d.Times["expiresAt"].IsZero() || d.Times["expiresAt"].After(time.Now())), v.IsActive)
			require.Equal(t, want.ID, v.ID)
			require.Equal(t, want.ID, s.hash("apikey:hash_map")[apikeys.HashPlaintext(want.APIKeyPlaintext)], "both hashes find it")
		}
	}
	page, err := s.keys.GetAllAPIKeys(t.Context(), apikeys.Filters{SortBy: "name", SortOrder: "ASC"}).Get()
	require.NoError(t, err)
	require.Equal(t, []int{15, listed}, []int{page.Total, len(page.Keys)})
	for _, k := range page.Keys {
		got := s.get(k.ID)
		got.LastUsedAt = k.LastUsedAt // the validations are noted meanwhile
		require.Equal(t, jsonOf(t, got), jsonOf(t, k))
	}
}

// decoded gives a key of ours in the form of the layout's own reader; what is not a
// key's there is taken from want.
func decoded(k apikeys.APIKey, want legacyKey) legacyKey {
	permissions := []string{}
	if k.Permissions != "all" {
		permissions = splitWords(k.Permissions)
	}
	d := legacyKey{
		Texts: map[string]string{
			"id": k.ID, "name": k.Name, "description": k.Description, "apiKey": k.HashedKey, "createdBy": k.CreatedBy, "userId": k.UserID,
			"userUsername": k.UserUsername, "icon": k.Icon, "expirationMode": k.ExpirationMode, "activationUnit": k.ActivationUnit,
			"claudeAccountId": k.ClaudeAccountID, "claudeConsoleAccountId": k.ClaudeConsoleAccountID, "geminiAccountId": k.GeminiAccountID,
			"openaiAccountId": k.OpenAIAccountID, "azureOpenaiAccountId": k.AzureOpenAIAccountID, "bedrockAccountId": k.BedrockAccountID,
			"droidAccountId": k.DroidAccountID, "ccrAccountId": k.CCRAccountID, "deletedBy": "", "deletedByType": "",
			"openaiResponsesPayloadRules": orEmpty(string(k.OpenAIResponsesPayloadRules)),
		},
		Numbers: map[string]float64{
			"tokenLimit": float64(k.TokenLimit), "concurrencyLimit": float64(k.ConcurrencyLimit), "rateLimitWindow": float64(k.RateLimitWindow),
			"rateLimitRequests": float64(k.RateLimitRequests), "rateLimitCost": float(k.RateLimitCost), "dailyCostLimit": float(k.DailyCostLimit),
			"totalCostLimit": float(k.TotalCostLimit), "weeklyOpusCostLimit": float(k.WeeklyOpusCostLimit), "activationDays": float64(k.ActivationDays),
			"weeklyResetDay": float64(k.WeeklyResetDay), "weeklyResetHour": float64(k.WeeklyResetHour),
		},
		Flags: map[string]bool{
			"isActive": k.IsActive, "isDeleted": false, "isActivated": k.ExpirationMode == "fixed" || !k.ActivatedAt.IsZero(),
			"enableModelRestriction": k.EnableModelRestriction, "enableClientRestriction": k.EnableClientRestriction,
			"enableOpenAIResponsesCodexAdaptation": *k.EnableOpenAIResponsesCodexAdaptation,
			"enableOpenAIResponsesPayloadRules":    k.EnableOpenAIResponsesPayloadRules,
		},
		Times: map[string]time.Time{},
		Lists: map[string][]string{
			"permissions": permissions, "restrictedModels": orNone(k.RestrictedModels), "allowedClients": orNone(k.AllowedClients), "tags": orNone(k.Tags),
		},
		Rates: map[string]float64{},
	}
	for name, at := range map[string]time.Time{
		"createdAt": k.CreatedAt, "updatedAt": k.UpdatedAt, "lastUsedAt": k.LastUsedAt, "activatedAt": k.ActivatedAt, "expiresAt": k.ExpiresAt,
	} {
		if !at.IsZero() {
			d.Times[name] = at
		}
	}
	if k.ExpirationMode == "fixed" {
		d.Times["activatedAt"] = want.Times["activatedAt"] // the service's own stamp
	}
	if _, edited := want.Times["updatedAt"]; !edited {
		delete(d.Times, "updatedAt")
	}
	for service, rate := range k.ServiceRates {
		d.Rates[service] = float(rate)
	}
	return d
}
