package apikeys_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func full() apikeys.KeyData {
	off := false
	return apikeys.KeyData{
		ID: uuid.NewString(), Name: "爱丽丝 «π»", Description: "all of it", Permissions: "claude,openai",
		TokenLimit: 1 << 40, ConcurrencyLimit: 5, DailyCostLimit: result.MustMoney("12.345678901234"),
		ExpiresAt: time.Date(2099, 12, 31, 23, 59, 59, 999000000, time.UTC), Tags: []string{"b", "a", "ünï"},
		RateLimitWindow: 60, RateLimitRequests: 100, RateLimitCost: result.MustMoney("0.5"),
		TotalCostLimit: result.MustMoney("100"), WeeklyOpusCostLimit: result.MustMoney("7"), WeeklyResetDay: 7, WeeklyResetHour: 23,
		ExpirationMode: "activation", ActivationDays: 12, ActivationUnit: "hours",
		ClaudeAccountID: "group:g1", ClaudeConsoleAccountID: "c", GeminiAccountID: "api:x", OpenAIAccountID: "responses:y",
		AzureOpenAIAccountID: "az", BedrockAccountID: "be", DroidAccountID: "dr", CCRAccountID: "cc",
		EnableModelRestriction: true, RestrictedModels: []string{"m1"}, EnableClientRestriction: true, AllowedClients: []string{"cli"},
		ServiceRates:                         map[string]result.Money{"claude": result.MustMoney("1.25")},
		EnableOpenAIResponsesCodexAdaptation: &off, EnableOpenAIResponsesPayloadRules: true,
		OpenAIResponsesPayloadRules: json.RawMessage(`[{"a": 1}]`),
		CreatedBy:                   "admin", UserID: "u1", UserUsername: "alice", Icon: "aWNvbg==",
		Extra: json.RawMessage(`{"nested": {"n": 1.50, "list": [null, true]}}`),
	}
}

func TestCreateKeepsEveryField(t *testing.T) {
	b := setup(t)
	want := full()
	created := b.create(want)
	require.Equal(t, want.ID, created.ID)

	got := b.get(created.ID)
	want.HashedKey, want.HashScheme = created.HashedKey, apikeys.HashSHA256
	require.JSONEq(t, marshal(t, want), marshal(t, got.KeyData))
	require.True(t, got.IsActive)
	require.Equal(t, created.CreatedAt, got.CreatedAt)

	var again apikeys.APIKey
	require.NoError(t, json.Unmarshal([]byte(marshal(t, got)), &again))
	require.JSONEq(t, marshal(t, got), marshal(t, again))
}

func TestCreateDefaults(t *testing.T) {
	b := setup(t)
	k := b.get(b.create(apikeys.KeyData{Name: "plain"}).ID)
	require.Equal(t, "all", k.Permissions)
	require.Equal(t, "fixed", k.ExpirationMode)
	require.True(t, k.ExpiresAt.IsZero())
	require.True(t, *k.EnableOpenAIResponsesCodexAdaptation)
	require.Empty(t, k.Tags)
	require.Nil(t, k.Extra)
}

func TestPlaintextIsShownOnceAndNowhereStored(t *testing.T) {
	b := setup(t)
	one, two := b.create(apikeys.KeyData{}), b.create(apikeys.KeyData{})
	require.Regexp(t, `^cr_[0-9a-f]{64}$`, one.APIKey)
	require.NotEqual(t, one.APIKey, two.APIKey)
	require.Equal(t, apikeys.HashPlaintext(one.APIKey), one.HashedKey)
	require.NotContains(t, marshal(t, b.get(one.ID)), one.APIKey)

	var rows string
	require.NoError(t, b.pool.QueryRow(b.ctx(), "SELECT string_agg(k::text, ' ') FROM api_keys k").Scan(&rows))
	require.NotContains(t, rows, one.APIKey)
	require.NotContains(t, rows, strings.TrimPrefix(one.APIKey, "cr_"))
}

func TestDuplicatesNameTheField(t *testing.T) {
	b := setup(t, legacy)
	hash, old := apikeys.HashPlaintext("p"), apikeys.LegacyHash("q", encryptionKey)
	first := b.create(apikeys.KeyData{HashedKey: hash})
	b.create(apikeys.KeyData{HashedKey: old, HashScheme: apikeys.HashLegacy})

	create := func(d apikeys.KeyData) error { d.Name = "again"; return b.keys.CreateAPIKey(b.ctx(), d).Err() }
	requireField(t, create(apikeys.KeyData{ID: first.ID}), result.DuplicateKey, "id")
	requireField(t, create(apikeys.KeyData{HashedKey: hash}), result.DuplicateKey, "hashedKey")
	requireField(t, create(apikeys.KeyData{HashedKey: old, HashScheme: apikeys.HashLegacy}), result.DuplicateKey, "hashedKey")
	require.Equal(t, 2, b.count())

	require.NoError(t, b.keys.DeleteAPIKey(b.ctx(), first.ID).Err())
	requireField(t, create(apikeys.KeyData{HashedKey: hash}), result.DuplicateKey, "hashedKey")
}

func TestBadInputNamesTheFieldAndWritesNothing(t *testing.T) {
	b := setup(t)
	huge := result.NewMoney(decimal.New(1, 12))
	for field, bad := range map[string][]apikeys.KeyData{
		"id":                          {{ID: "x"}, {ID: uuid.Nil.String()}, {ID: "urn:uuid:" + uuid.NewString()}},
		"name":                        {{Name: "-"}, {Name: "a\x00b"}, {Name: "\xff"}, {Name: strings.Repeat("é", 256)}},
		"description":                 {{Description: strings.Repeat("x", 4097)}, {Description: "\x00"}},
		"permissions":                 {{Permissions: "root"}, {Permissions: "all,claude"}, {Permissions: "claude,claude"}, {Permissions: ","}, {Permissions: "claude "}},
		"hashedKey":                   {{HashedKey: "abc"}, {HashedKey: strings.Repeat("g", 64)}},
		"hashScheme":                  {{HashScheme: "md5", HashedKey: strings.Repeat("a", 64)}, {HashScheme: "sha256"}},
		"tokenLimit":                  {{TokenLimit: -1}, {TokenLimit: math.MaxInt64}},
		"concurrencyLimit":            {{ConcurrencyLimit: -1}},
		"dailyCostLimit":              {{DailyCostLimit: result.MustMoney("-0.1")}, {DailyCostLimit: huge}},
		"totalCostLimit":              {{TotalCostLimit: result.MustMoney("-1")}},
		"weeklyOpusCostLimit":         {{WeeklyOpusCostLimit: result.MustMoney("-1")}},
		"rateLimitCost":               {{RateLimitCost: result.MustMoney("-1")}},
		"rateLimitWindow":             {{RateLimitWindow: -1}},
		"rateLimitRequests":           {{RateLimitRequests: -1}},
		"weeklyResetDay":              {{WeeklyResetDay: 8}, {WeeklyResetDay: -1}},
		"weeklyResetHour":             {{WeeklyResetHour: 24}},
		"expiresAt":                   {{ExpiresAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, {ExpiresAt: time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC)}},
		"expirationMode":              {{ExpirationMode: "never"}},
		"activationUnit":              {{ActivationUnit: "weeks"}},
		"activationDays":              {{ActivationDays: -1}, {ActivationDays: 1 << 40}},
		"tags":                        {{Tags: []string{""}}, {Tags: make([]string, 101)}, {Tags: []string{"\x00"}}, {Tags: []string{strings.Repeat("t", 129)}}},
		"restrictedModels":            {{RestrictedModels: []string{"\xc3"}}},
		"allowedClients":              {{AllowedClients: []string{""}}},
		"claudeAccountId":             {{ClaudeAccountID: strings.Repeat("x", 256)}},
		"icon":                        {{Icon: strings.Repeat("x", 256<<10+1)}},
		"serviceRates":                {{ServiceRates: map[string]result.Money{"claude": result.MustMoney("-1")}}},
		"extra":                       {{Extra: json.RawMessage(`[]`)}, {Extra: json.RawMessage(`{"x":[{"a":1,"a":2}]}`)}, {Extra: json.RawMessage(`{"a":"\u0000"}`)}, {Extra: json.RawMessage(`{`)}, {Extra: json.RawMessage(`{"a":1e99999}`)}, {Extra: json.RawMessage(`{"a":"\ud800"}`)}, {Extra: json.RawMessage(strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65))}, {Extra: json.RawMessage(`{"a":"` + strings.Repeat("x", 64<<10) + `"}`)}},
		"openaiResponsesPayloadRules": {{OpenAIResponsesPayloadRules: json.RawMessage(`{}`)}},
	} {
		for _, data := range bad {
			switch data.Name {
			case "":
				data.Name = "bad"
			case "-":
				data.Name = ""
			}
			requireField(t, b.keys.CreateAPIKey(b.ctx(), data).Err(), result.InvalidQuery, field)
		}
	}
	require.Zero(t, b.count())
}

func TestKeyDataFromJSON(t *testing.T) {
	t.Parallel()
	var d apikeys.KeyData
	require.NoError(t, json.Unmarshal([]byte(`{"name":"n","dailyCostLimit":0.10,"theme":{"dark":true},"extra":{"old":1}}`), &d))
	require.Equal(t, "0.1", d.DailyCostLimit.String())
	require.JSONEq(t, `{"theme":{"dark":true},"old":1}`, string(d.Extra))

	for field, doc := range map[string]string{
		"dailyCostLimit": `{"name":"n","dailyCostLimit":1e999999999}`,
		"totalCostLimit": `{"name":"n","totalCostLimit":"5"}`,
		"Name":           `{"Name":"n"}`,
		"name":           `{"name":5}`,
		"tokenLimit":     `{"name":"n","tokenLimit":1.5}`,
		"expiresAt":      `{"name":"n","expiresAt":"tomorrow"}`,
		"tags":           `{"name":"n","tags":["a"],"tags":[]}`,
		"old":            `{"name":"n","old":2,"extra":{"old":1}}`,
	} {
		requireField(t, json.Unmarshal([]byte(doc), &d), result.InvalidQuery, field)
	}
}

func marshal(t testing.TB, v any) string {
	t.Helper()
	doc, err := json.Marshal(v)
	require.NoError(t, err)
	return string(doc)
}
