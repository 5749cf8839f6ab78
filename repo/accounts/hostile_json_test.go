package accounts_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestHostileJSON(t *testing.T) {
	t.Parallel()
	nested := func(inner string) string { return `{"name":"n","platform":"claude",` + inner + `}` }
	for doc, field := range map[string]string{
		`{"platform":"claude"}`:                 "name",
		`{"name":null}`:                         "name",
		`{"name":"n","name":"m"}`:               "name",
		`{"name":"n","Name":"m"}`:               "Name",
		`{"name":"n","status":"active"}`:        "status",
		`{"name":"n","__proto__":{}}`:           "__proto__",
		`{"name":5}`:                            "name",
		nested(`"oauthData":[]`):                "oauthData",
		nested(`"oauthData":{"accessToken":1}`): "oauthData.accessToken",
		nested(`"oauthData":{"accessToken":"a","accessToken":"b"}`):   "oauthData.accessToken",
		nested(`"oauthData":{"accesstoken":"a"}`):                     "oauthData.accesstoken",
		nested(`"oauthData":{"expiresAt":"tomorrow"}`):                "oauthData.expiresAt",
		nested(`"oauthData":{"expiresAt":1e400}`):                     "oauthData.expiresAt",
		nested(`"oauthData":{"scopes":"all"}`):                        "oauthData.scopes",
		nested(`"proxyConfig":{"type":"http","host":"h"}`):            "proxyConfig.port",
		nested(`"proxyConfig":{"type":"http","host":"h","port":1.5}`): "proxyConfig.port",
		nested(`"proxyConfig":{"type":"http","host":"h","port":"1"}`): "proxyConfig.port",
		nested(`"secrets":{"awsCredentials":{"accessKeyId":"a"}}`):    "secrets.awsCredentials.secretAccessKey",
		nested(`"secrets":{"token":"a"}`):                             "secrets.token",
		nested(`"details":{"dailyQuota":"5"}`):                        "details.dailyQuota",
		nested(`"details":{"x":1,"x":2}`):                             "details.x",
		nested(`"details":{"x":1,"extra":{"x":2}}`):                   "details.x",
		nested(`"details":{"extra":{"a":1,"a":2},"x":3}`):             "details.extra",
		nested(`"details":{"extra":{"a":[{"b":1,"b":2}]},"x":3}`):     "details.extra",
		nested(`"details":{"Region":"r"}`):                            "details.Region",
		nested(`"details":` + strings.Repeat("[", 20000)):             "details",
	} {
		var d accounts.AccountData
		err := d.UnmarshalJSON([]byte(doc))
		requireField(t, err, result.InvalidQuery, field)
	}
	var d accounts.AccountData
	require.NoError(t, json.Unmarshal([]byte(nested(`"details":{"region":"r","x":{"y":1},"extra":{"z":2}}`)), &d))
	require.JSONEq(t, `{"x":{"y":1},"z":2}`, string(d.Details.Extra))
}

// What JSONB would make one of in silence is refused at any depth, however it comes.
func TestNamesThatAreGivenTwice(t *testing.T) {
	b := setup(t, uncached)
	for _, doc := range []string{
		`{"a":1,"a":2}`, `{"x":[0,{"y":{"a":1,"b":{},"a":2}}]}`, `{"a":1,"\u0061":2}`, `{"":1,"":2}`, `{"a":{"b":1},"a":{"b":1}}`,
	} {
		for _, field := range []string{"extra", "extInfo", "subscriptionInfo", "supportedModels"} {
			d := bent(func(d *accounts.AccountData) {
				*map[string]*json.RawMessage{
					"extra": &d.Details.Extra, "extInfo": &d.Details.ExtInfo,
					"subscriptionInfo": &d.Details.SubscriptionInfo, "supportedModels": &d.Details.SupportedModels,
				}[field] = json.RawMessage(doc)
			})
			requireField(t, b.accs.CreateAccount(b.ctx(), d).Err(), result.InvalidQuery, "details."+field)
		}
		var d accounts.AccountData
		err := json.Unmarshal([]byte(`{"name":"n","platform":"claude","details":{"unknown":`+doc+`}}`), &d)
		require.NoError(t, err)
		requireField(t, b.accs.CreateAccount(b.ctx(), d).Err(), result.InvalidQuery, "details.extra")
	}
	require.Zero(t, b.count("SELECT count(*) FROM accounts"))
}

// hostileMembers are of a document that no method takes.
var hostileMembers = map[string]string{
	`{"limit":"5"}`: "limit", `{"limit":1e9999}`: "limit", `{"x":1}`: "x", `{"status":"a","status":"b"}`: "status", `{"status":` + strings.Repeat("[", 20000): "status",
	`{"status":"\ud800"}`: "status", "{\"status\":\"\xff\"}": "status", `{"platform":["claude"]}`: "platform",
}

func TestHostileFiltersAndPatchesInJSON(t *testing.T) {
	t.Parallel()
	for doc, field := range hostileMembers {
		requireField(t, (&accounts.AvailableFilters{}).UnmarshalJSON([]byte(doc)), result.InvalidQuery, field)
		requireField(t, (&accounts.ListFilters{}).UnmarshalJSON([]byte(doc)), result.InvalidQuery, field)
	}
	for doc, field := range map[string]string{
		`{"remaining":1}`: "remaining", `{"tokensRemaining":1.5}`: "tokensRemaining", `{"tokensRemaining":"NaN"}`: "tokensRemaining", `{"tokensRemaining":1e400}`: "tokensRemaining",
		`{"rateLimitResetAt":1000000000}`: "rateLimitResetAt", `{"rateLimitResetAt":"0000-00-00T00:00:00Z"}`: "rateLimitResetAt", `{"lastRequestAt":"NaN"}`: "lastRequestAt",
		`{"errorMessage":"a","errorMessage":"b"}`: "errorMessage", `{"errorMessage":{}}`: "errorMessage",
	} {
		requireField(t, (&accounts.StatusMetadata{}).UnmarshalJSON([]byte(doc)), result.InvalidQuery, field)
	}
	for doc, field := range map[string]string{
		`{"refreshToken":"r"}`: "refreshToken", `{"apiKey":"a","apiKey":"b"}`: "apiKey", `{"oauthData":{"accessToken":"a","accessToken":"b"}}`: "oauthData.accessToken",
		`{"secrets":` + strings.Repeat("[", 20000): "secrets", `{"proxyConfig":{"type":"http","host":"h","port":1e9999}}`: "proxyConfig.port",
	} {
		requireField(t, (&accounts.CredentialsPatch{}).UnmarshalJSON([]byte(doc)), result.InvalidQuery, field)
	}
}
