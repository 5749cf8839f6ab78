package accounts_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testprovider"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/accounts/oauth"
	"github.com/seed14a526e0/relaystore/repo/result"
)

var (
	megabyte = strings.Repeat("x", 1<<20)
	deep     = strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65)
	year0    = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	year1    = time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC)
	year10k  = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	yearBig  = time.Date(1e9, 1, 1, 0, 0, 0, 0, time.UTC)
)

// injections are what a statement, a format or a path would take as its own.
var injections = []string{"'; DROP TABLE accounts; --", `"; \copy`, "%s%n%x", "${jndi:ldap://x}", "../../etc/passwd", "\u202eabc", "$1", "{{.}}", "a\nb"}

// badTexts are what no text may be.
var badTexts = []string{megabyte, "a\x00b", "\xff\xfe", "\xc3"}

// bent gives a good Claude account with a change.
func bent(change func(*accounts.AccountData)) accounts.AccountData {
	d := claude()
	d.Platform = accounts.Claude
	change(&d)
	return d
}

func badData() map[string][]accounts.AccountData {
	type data = accounts.AccountData
	bad := map[string][]data{}
	add := func(field string, change func(*data)) { bad[field] = append(bad[field], bent(change)) }
	for _, id := range []string{"x", uuid.Nil.String(), "urn:uuid:" + uuid.NewString(), "'; DROP TABLE accounts; --"} {
		add("id", func(d *data) { d.ID = id })
	}
	add("name", func(d *data) { d.Name = "" })
	for _, text := range append(badTexts, strings.Repeat("é", 256)) {
		add("name", func(d *data) { d.Name = text })
	}
	for _, word := range append(slices.Concat(badTexts, injections), "", "Claude", "claude ", "claude-official", "all", "gemini,openai") {
		add("platform", func(d *data) { d.Platform = word })
		if word != "" {
			add("accountType", func(d *data) { d.AccountType = word })
			add("details.oauthProvider", func(d *data) { d.Details.OAuthProvider = word })
			add("details.providerEndpoint", func(d *data) { d.Details.ProviderEndpoint = word })
			add("details.endpointType", func(d *data) { d.Details.EndpointType = word })
			add("details.credentialType", func(d *data) { d.Details.CredentialType = word })
		}
		add("proxyConfig.type", func(d *data) { d.ProxyConfig.Type = word })
	}
	for _, n := range []int{-1, 101, math.MaxInt, math.MinInt} {
		add("priority", func(d *data) { d.Priority = n })
		add("details.maxConcurrency", func(d *data) { d.Details.MaxConcurrency = min(int64(n), -1) })
	}
	for _, n := range []int{-1, 0, 65536, math.MaxInt, math.MinInt} {
		add("proxyConfig.port", func(d *data) { d.ProxyConfig.Port = n })
	}
	for _, text := range badTexts {
		add("description", func(d *data) { d.Description = text })
		add("oauthData.accessToken", func(d *data) { d.OAuthData.AccessToken = text })
		add("oauthData.refreshToken", func(d *data) { d.OAuthData.RefreshToken = text })
		add("oauthData.scopes", func(d *data) { d.OAuthData.Scopes = []string{text} })
		add("apiKey", func(d *data) { d.APIKey = text })
		add("proxyConfig.host", func(d *data) { d.ProxyConfig.Host = text })
		add("proxyConfig.username", func(d *data) { d.ProxyConfig.Username = text })
		add("proxyConfig.password", func(d *data) { d.ProxyConfig.Password = text })
		add("secrets.idToken", func(d *data) { d.Secrets.IDToken = text })
		add("secrets.apiKeys", func(d *data) { d.Secrets.APIKeys = []string{"k", text} })
		add("secrets.awsCredentials.secretAccessKey", func(d *data) {
			d.Secrets.AWS = &accounts.AWSCredentials{AccessKeyID: "a", SecretAccessKey: text}
		})
		add("details.baseUrl", func(d *data) { d.Details.BaseURL = text })
	}
	add("oauthData.accessToken", func(d *data) { d.OAuthData.AccessToken = "a\r\nHost: evil" })
	add("oauthData.accessToken", func(d *data) { d.OAuthData = &accounts.OAuthData{Scopes: []string{"s"}} })
	add("oauthData.scopes", func(d *data) { d.OAuthData.Scopes = make([]string, 101) })
	add("oauthData.scopes", func(d *data) { d.OAuthData.Scopes = []string{""} })
	for _, at := range []time.Time{year0, year1, year10k, yearBig, time.Unix(-1, 0)} {
		add("oauthData.expiresAt", func(d *data) { d.OAuthData.ExpiresAt = at })
		add("details.subscriptionExpiresAt", func(d *data) { d.Details.SubscriptionExpiresAt = at })
	}
	for _, host := range []string{"", "a b", "user@host", "host/path", "host:80", "http://host", "host?", "host#", "[::1]", ".", "a..b", "%00", "h\n"} {
		add("proxyConfig.host", func(d *data) { d.ProxyConfig.Host = host })
	}
	add("secrets.awsCredentials", func(d *data) { d.Secrets.AWS = &accounts.AWSCredentials{AccessKeyID: "a"} })
	add("secrets.apiKeys", func(d *data) { d.Secrets.APIKeys = make([]string, 101) })
	add("secrets.apiKeys", func(d *data) { d.Secrets.APIKeys = []string{""} })
	add("secrets", func(d *data) {
		for range 5 {
			d.Secrets.APIKeys = append(d.Secrets.APIKeys, strings.Repeat("k", 16<<10))
		}
	})
	add("details.quotaResetTime", func(d *data) { d.Details.QuotaResetTime = "24:00" })
	add("details.dailyQuota", func(d *data) { d.Details.DailyQuota = result.MustMoney("-1") })
	add("details.supportedModels", func(d *data) { d.Details.SupportedModels = json.RawMessage(`"m"`) })
	for _, doc := range []string{`[]`, `{`, `{"a":"\u0000"}`, `{"a":1e99999}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}", deep, `{"a":"` + megabyte + `"}`} {
		add("details.extra", func(d *data) { d.Details.Extra = json.RawMessage(doc) })
		add("details.extInfo", func(d *data) { d.Details.ExtInfo = json.RawMessage(doc) })
	}
	return bad
}

func TestBadInputNamesTheFieldAndWritesNothing(t *testing.T) {
	b := setup(t, uncached)
	for field, all := range badData() {
		for _, data := range all {
			requireField(t, b.accs.CreateAccount(b.ctx(), data).Err(), result.InvalidQuery, field)
		}
	}
	for field, change := range map[string]func(*accounts.AccountData){
		"platform":               func(d *accounts.AccountData) { d.Platform = accounts.Gemini },
		"oauthData":              func(d *accounts.AccountData) { d.OAuthData = nil },
		"oauthData.accessToken":  func(d *accounts.AccountData) { d.OAuthData.AccessToken = "" },
		"oauthData.refreshToken": func(d *accounts.AccountData) { d.OAuthData.RefreshToken = "" },
		"oauthData.scopes":       func(d *accounts.AccountData) { d.OAuthData.Scopes = nil },
		"oauthData.expiresAt":    func(d *accounts.AccountData) { d.OAuthData.ExpiresAt = time.Time{} },
	} {
		requireField(t, b.accs.CreateClaudeAccount(b.ctx(), bent(change)).Err(), result.InvalidQuery, field)
	}
	require.Zero(t, b.count("SELECT count(*) FROM accounts"))
}

// What looks like SQL, a format or a path is a text like any other.
func TestInjectionsAreTexts(t *testing.T) {
	b := setup(t)
	for _, text := range injections {
		data := full(accounts.Claude)
		data.Name, data.Description, data.ProxyConfig.Username, data.ProxyConfig.Password, data.Details.BaseURL = text, text, text, text, text
		id := b.create(data)
		a, c := b.get(id), b.credentials(id)
		require.Equal(t, []string{text, text, text, text, text}, []string{a.Name, a.Description, a.ProxyConfig.Username, c.ProxyConfig.Password, a.Details.BaseURL})
		b.setStatus(id, accounts.InError, accounts.StatusMetadata{ErrorMessage: text})
		require.Equal(t, text, b.get(id).ErrorMessage)
	}
}

func TestBadStatusesPatchesAndFilters(t *testing.T) {
	p := testprovider.Start(t)
	b := setup(t, uncached, func(c *repo.Config) {
		c.OAuth = oauth.Endpoints{accounts.Claude: {TokenURL: p.URL, ClientID: testprovider.ClientID}}
	})
	id := b.createClaude()
	row := func() (text string) {
		require.NoError(t, b.pool.QueryRow(b.ctx(), "SELECT a::text FROM accounts a").Scan(&text))
		return text
	}
	before := row()
	status := func(status string, m accounts.StatusMetadata) error {
		return b.accs.UpdateAccountStatus(b.ctx(), id, status, m).Err()
	}
	for _, word := range append(slices.Concat(badTexts, injections), "", "Active", "active ", "expired", "active' OR '1'='1") {
		requireField(t, status(word, accounts.StatusMetadata{}), result.InvalidQuery, "status")
		if word != "" {
			requireField(t, b.accs.GetAvailableAccounts(b.ctx(), accounts.AvailableFilters{Status: word}).Err(), result.InvalidQuery, "status")
			requireField(t, b.accs.ListAccounts(b.ctx(), accounts.ListFilters{Status: word}).Err(), result.InvalidQuery, "status")
			requireField(t, b.accs.GetAvailableAccounts(b.ctx(), accounts.AvailableFilters{Platform: word}).Err(), result.InvalidQuery, "platform")
			requireField(t, b.accs.ListAccounts(b.ctx(), accounts.ListFilters{Platform: word}).Err(), result.InvalidQuery, "platform")
		}
	}
	for _, at := range []time.Time{year0, year1, year10k, yearBig} {
		requireField(t, status("active", accounts.StatusMetadata{RateLimitResetAt: at}), result.InvalidQuery, "rateLimitResetAt")
		requireField(t, status("active", accounts.StatusMetadata{LastRequestAt: at}), result.InvalidQuery, "lastRequestAt")
	}
	requireField(t, status("active", accounts.StatusMetadata{LastRequestAt: time.Now().Add(25 * time.Hour)}), result.InvalidQuery, "lastRequestAt")
	for _, n := range []int64{-1, math.MinInt64, math.MaxInt64} {
		requireField(t, status("active", accounts.StatusMetadata{TokensRemaining: &n}), result.InvalidQuery, "tokensRemaining")
		requireField(t, b.accs.GetAvailableAccounts(b.ctx(), accounts.AvailableFilters{MinTokensRemaining: n}).Err(), result.InvalidQuery, "minTokensRemaining")
	}
	for _, text := range badTexts {
		requireField(t, status("error", accounts.StatusMetadata{ErrorMessage: text}), result.InvalidQuery, "errorMessage")
	}
	for _, n := range []int{-1, 1001, math.MaxInt} {
		requireField(t, b.accs.GetAvailableAccounts(b.ctx(), accounts.AvailableFilters{Limit: n}).Err(), result.InvalidQuery, "limit")
		requireField(t, b.accs.ListAccounts(b.ctx(), accounts.ListFilters{Limit: n}).Err(), result.InvalidQuery, "limit")
	}
	requireField(t, b.accs.ListAccounts(b.ctx(), accounts.ListFilters{Offset: -1}).Err(), result.InvalidQuery, "offset")
	requireField(t, b.accs.ListAccounts(b.ctx(), accounts.ListFilters{Offset: math.MaxInt}).Err(), result.InvalidQuery, "offset")
	for field, p := range map[string]accounts.CredentialsPatch{
		"oauthData.accessToken": {OAuthData: result.Set(accounts.OAuthData{})},
		"apiKey":                {APIKey: result.Set("a\nb")},
		"secrets.email":         {Secrets: result.Set(accounts.Secrets{Email: "\x00"})},
		"proxyConfig.port":      {ProxyConfig: result.Set(accounts.ProxyConfig{Type: "http", Host: "h"})},
	} {
		requireField(t, b.accs.SetCredentials(b.ctx(), id, p).Err(), result.InvalidQuery, field)
	}
	for _, text := range badTexts {
		for field, p := range badPatches(text) {
			requireField(t, b.accs.SetCredentials(b.ctx(), id, p).Err(), result.InvalidQuery, field)
		}
	}
	for _, at := range []time.Time{year0, year1, year10k, yearBig} {
		p := accounts.CredentialsPatch{OAuthData: result.Set(accounts.OAuthData{AccessToken: "a", ExpiresAt: at})}
		requireField(t, b.accs.SetCredentials(b.ctx(), id, p).Err(), result.InvalidQuery, "oauthData.expiresAt")
	}
	for _, bad := range append(slices.Concat(badTexts, injections), "", "x", uuid.Nil.String(), id+" ", id+"\x00", "{"+id+"}") {
		for _, err := range []error{
			b.accs.GetAccount(b.ctx(), bad).Err(), b.accs.GetClaudeAccount(b.ctx(), bad).Err(), b.accs.GetCredentials(b.ctx(), bad).Err(),
			b.accs.DeleteAccount(b.ctx(), bad).Err(), b.accs.UpdateAccountStatus(b.ctx(), bad, "active", accounts.StatusMetadata{}).Err(),
			b.accs.SetCredentials(b.ctx(), bad, accounts.CredentialsPatch{APIKey: result.Set("k")}).Err(),
			b.accs.RefreshOAuthToken(b.ctx(), bad).Err(),
		} {
			requireField(t, err, result.InvalidQuery, "accountId")
		}
	}
	require.Equal(t, before, row())
	require.Zero(t, p.Calls())
	require.Zero(t, b.count("SELECT count(*) FROM account_refreshes"))
}

// badPatches are credentials with a text that no secret may be, by field.
func badPatches(text string) map[string]accounts.CredentialsPatch {
	proxy := func(change func(*accounts.ProxyConfig)) accounts.CredentialsPatch {
		p := accounts.ProxyConfig{Type: "http", Host: "h", Port: 1}
		change(&p)
		return accounts.CredentialsPatch{ProxyConfig: result.Set(p)}
	}
	return map[string]accounts.CredentialsPatch{
		"oauthData.accessToken":  {OAuthData: result.Set(accounts.OAuthData{AccessToken: text})},
		"oauthData.refreshToken": {OAuthData: result.Set(accounts.OAuthData{AccessToken: "a", RefreshToken: text})},
		"oauthData.scopes":       {OAuthData: result.Set(accounts.OAuthData{AccessToken: "a", Scopes: []string{text}})},
		"apiKey":                 {APIKey: result.Set(text)},
		"secrets.bearerToken":    {Secrets: result.Set(accounts.Secrets{BearerToken: text})},
		"proxyConfig.type":       proxy(func(p *accounts.ProxyConfig) { p.Type = text }),
		"proxyConfig.host":       proxy(func(p *accounts.ProxyConfig) { p.Host = text }),
		"proxyConfig.username":   proxy(func(p *accounts.ProxyConfig) { p.Username = text }),
		"proxyConfig.password":   proxy(func(p *accounts.ProxyConfig) { p.Password = text }),
	}
}
