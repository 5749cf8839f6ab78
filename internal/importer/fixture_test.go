package importer_test

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

type legacyUsage struct {
	InputTokens       int64 `json:"inputTokens"`
	OutputTokens      int64 `json:"outputTokens"`
	CacheCreateTokens int64 `json:"cacheCreateTokens"`
	CacheReadTokens   int64 `json:"cacheReadTokens"`
	AllTokens         int64 `json:"allTokens"`
	Requests          int64 `json:"requests"`
}

type expectation struct {
	Keys []struct {
		ID        string            `json:"id"`
		Plaintext string            `json:"apiKeyPlaintext"`
		Hash      map[string]string `json:"hash"`
		Usage     struct {
			Total, Daily, Monthly legacyUsage
		} `json:"usage"`
		Cost struct {
			Daily   result.Money `json:"daily"`
			Monthly result.Money `json:"monthly"`
			Total   result.Money `json:"total"`
		} `json:"cost"`
	} `json:"keys"`
	Accounts []struct {
		ID    string `json:"id"`
		Plain struct {
			AccessToken, RefreshToken, Email string
		} `json:"plain"`
		Usage struct {
			Total, Daily, Monthly legacyUsage
		} `json:"usage"`
	} `json:"accounts"`
	OtherAccounts []struct{ Platform, ID string } `json:"otherAccounts"`
}

func expected(t *testing.T) (e expectation) {
	t.Helper()
	doc, err := os.ReadFile(fixture(t, "expected.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(doc, &e))
	return e
}

var zone = "Asia/Shanghai"

// of asks the library what it says of a key or an account.
func (d *deployment) of(t *testing.T, q usage.StatsQuery) usage.Stats {
	t.Helper()
	q.TimeZone = zone
	s, err := d.client.Usage.GetUsageStats(t.Context(), q).Get()
	require.NoError(t, err)
	return s
}

func requireUsage(t *testing.T, want legacyUsage, s usage.Stats, what string) {
	t.Helper()
	var got legacyUsage
	for _, e := range s.Stats {
		got.Requests += e.Requests
		got.InputTokens += e.InputTokens
		got.OutputTokens += e.OutputTokens
		got.CacheCreateTokens += e.CacheCreationTokens
		got.CacheReadTokens += e.CacheReadTokens
		got.AllTokens += e.TotalTokens
	}
	require.Equal(t, want, got, what)
}

// The real deployment: every figure is what the service itself says.
func TestFixture(t *testing.T) {
	t.Parallel()
	e := expected(t)
	d := deploy(t)
	d.load(t, fixture(t, "legacy-redis.resp.gz"))
	rep := d.run(t)
	require.Zero(t, rep.Unexplained)
	require.Equal(t, 16, rep.Imported["apikey"])
	require.Equal(t, 13, rep.Imported["account"])
	require.Equal(t, rep.Found["usage_model"], rep.Imported["usage_model"])
	for _, c := range rep.Compare {
		require.Empty(t, c.Explained)
		require.Equal(t, c.Source, c.Target)
	}

	shanghai, err := time.LoadLocation(zone)
	require.NoError(t, err)
	month := usage.StatsQuery{StartDate: time.Date(2026, 11, 1, 0, 0, 0, 0, shanghai), EndDate: time.Date(2026, 12, 1, 0, 0, 0, 0, shanghai), Granularity: "month"}
	day := usage.StatsQuery{StartDate: time.Date(2026, 11, 22, 0, 0, 0, 0, shanghai), EndDate: time.Date(2026, 11, 23, 0, 0, 0, 0, shanghai), Granularity: "day"}
	for _, k := range e.Keys {
		q := month
		q.APIKeyID = k.ID
		s := d.of(t, q)
		requireUsage(t, k.Usage.Monthly, s, k.Hash["name"]+" monthly")
		requireUsage(t, k.Usage.Total, s, k.Hash["name"]+" total")
		require.Equal(t, k.Cost.Total.String(), s.Summary.TotalCost.String())
		q = day
		q.APIKeyID = k.ID
		s = d.of(t, q)
		requireUsage(t, k.Usage.Daily, s, k.Hash["name"]+" daily")
		require.Equal(t, k.Cost.Daily.String(), s.Summary.TotalCost.String())
	}
	for _, a := range e.Accounts {
		q := month
		q.AccountID = a.ID
		requireUsage(t, a.Usage.Total, d.of(t, q), "account total")
		q = day
		q.AccountID = a.ID
		requireUsage(t, a.Usage.Daily, d.of(t, q), "account daily")
	}
	d.requireHours(t, shanghai)
	d.requireSecrets(t, e)
	d.requireAnswers(t, e)

	again := d.run(t)
	require.Zero(t, again.written, "a second run changes nothing")
	require.Zero(t, again.Unexplained)
}

// requireHours sums the records that the service was given.
func (d *deployment) requireHours(t *testing.T, shanghai *time.Location) {
	t.Helper()
	type hour struct{ key, at string }
	want := make(map[hour]legacyUsage)
	for lines := bufio.NewScanner(unzip(t, fixture(t, "truth.jsonl.gz"))); lines.Scan(); {
		var r struct {
			T                     int64
			Key                   string
			Input, Output, CC, CR int64
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r))
		at := hour{r.Key, time.UnixMilli(r.T).In(shanghai).Truncate(time.Hour).Format(time.RFC3339)}
		u := want[at]
		want[at] = legacyUsage{u.InputTokens + r.Input, u.OutputTokens + r.Output, u.CacheCreateTokens + r.CC, u.CacheReadTokens + r.CR, u.AllTokens + r.Input + r.Output + r.CC + r.CR, u.Requests + 1}
	}
	require.NotEmpty(t, want)
	got := make(map[hour]legacyUsage)
	for _, k := range expected(t).Keys {
		s := d.of(t, usage.StatsQuery{
			APIKeyID: k.ID, Granularity: "hour",
			StartDate: time.Date(2026, 11, 18, 0, 0, 0, 0, shanghai), EndDate: time.Date(2026, 11, 23, 0, 0, 0, 0, shanghai),
		})
		for _, e := range s.Stats {
			if e.Requests > 0 {
				got[hour{k.ID, e.Date}] = legacyUsage{e.InputTokens, e.OutputTokens, e.CacheCreationTokens, e.CacheReadTokens, e.TotalTokens, e.Requests}
			}
		}
	}
	require.Equal(t, want, got)
}

func (d *deployment) requireSecrets(t *testing.T, e expectation) {
	t.Helper()
	open := func(id string) accounts.Credentials {
		c, err := d.client.Accounts.GetCredentials(t.Context(), id).Get()
		require.NoError(t, err)
		return c
	}
	for _, a := range e.Accounts {
		c := open(a.ID)
		require.Equal(t, a.Plain.AccessToken, c.AccessToken)
		require.Equal(t, a.Plain.RefreshToken, c.RefreshToken)
		require.Equal(t, a.Plain.Email, c.Secrets.Email)
		shown, err := d.client.Accounts.GetAccount(t.Context(), a.ID).Get()
		require.NoError(t, err)
		require.False(t, shown.Schedulable, "paused")
	}
	for _, a := range e.OtherAccounts {
		if a.ID == "" { // Bedrock's is not told
			page, err := d.client.Accounts.ListAccounts(t.Context(), accounts.ListFilters{Platform: a.Platform}).Get()
			require.NoError(t, err)
			require.Len(t, page.Accounts, 1)
			a.ID = page.Accounts[0].ID
		}
		c := open(a.ID)
		switch a.Platform {
		case accounts.ClaudeConsole:
			require.Equal(t, "console-secret-1", c.APIKey)
			require.Equal(t, "y:z", c.ProxyConfig.Password)
		case accounts.CCR:
			require.Equal(t, "ccr-secret-1", c.APIKey)
		case accounts.Bedrock:
			require.Equal(t, &accounts.AWSCredentials{AccessKeyID: "AKIAFIXTURE", SecretAccessKey: "bedrock-secret-1"}, c.Secrets.AWS)
		case accounts.Gemini:
			require.Equal(t, [2]string{"gem-at-1", "gem-rt-1"}, [2]string{c.AccessToken, c.RefreshToken})
		case accounts.GeminiAPI:
			require.Equal(t, "gemini-api-secret-1", c.APIKey)
		case accounts.OpenAI:
			require.Equal(t, [3]string{"oa-id-1", "oa-at-1", "oa-rt-1"}, [3]string{c.Secrets.IDToken, c.AccessToken, c.RefreshToken})
		case accounts.OpenAIResponses:
			require.Equal(t, "responses-secret-1", c.APIKey)
		case accounts.AzureOpenAI:
			require.Equal(t, "azure-secret-1", c.APIKey)
		case accounts.Droid:
			require.Equal(t, []string{"droid-secret-1", "droid-secret-2"}, c.Secrets.APIKeys)
		default:
			t.Errorf("a platform of no kind: %s", a.Platform)
		}
	}
}

// requireAnswers asks with the users' plaintexts.
func (d *deployment) requireAnswers(t *testing.T, e expectation) {
	t.Helper()
	for _, k := range e.Keys {
		v, err := d.client.APIKeys.ValidatePlaintext(t.Context(), k.Plaintext).Get()
		if k.Hash["isDeleted"] == "true" {
			require.ErrorIs(t, err, result.RecordNotFound, k.Hash["name"])
			continue
		}
		require.NoError(t, err, k.Hash["name"])
		require.Equal(t, k.ID, v.ID)
		ends, _ := time.Parse(time.RFC3339, k.Hash["expiresAt"])
		require.Equal(t, k.Hash["isActive"] == "true" && (ends.IsZero() || ends.After(time.Now())), v.IsActive, k.Hash["name"])
		if k.Hash["expirationMode"] == "activation" && k.Hash["isActivated"] == "false" {
			require.False(t, v.ExpiresAt.IsZero(), "its first use starts its life")
		}
		shown, err := d.client.APIKeys.GetAPIKey(t.Context(), k.ID).Get()
		require.NoError(t, err)
		require.Equal(t, k.Hash["name"], shown.Name)
		require.Equal(t, apikeys.HashPlaintext(k.Plaintext), shown.HashedKey, "the native hash is added")
	}
}
