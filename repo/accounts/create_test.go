package accounts_test

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// full has every field that a platform could want.
func full(platform string) accounts.AccountData {
	d := claude()
	no := false
	d.ID, d.Platform, d.Name, d.Description = uuid.NewString(), platform, "爱丽丝 «π»", "all of it"
	d.AccountType, d.Priority, d.Schedulable = "dedicated", 7, &no
	d.APIKey = "sk-api-key"
	d.Secrets = accounts.Secrets{
		IDToken: "id.to.ken", Email: "a@example.org", Password: "p", BearerToken: "bearer",
		AWS: &accounts.AWSCredentials{AccessKeyID: "AKIA", SecretAccessKey: "aws/secret", SessionToken: "session"}, APIKeys: []string{"k1", "k2"},
	}
	d.Details = details()
	return d
}

func details() accounts.Details {
	return accounts.Details{
		SubscriptionExpiresAt: time.Date(2098, 1, 1, 0, 0, 0, 0, time.UTC), DisableAutoProtection: true, GroupID: "g",
		SupportedModels: json.RawMessage(`{"a": "b"}`), InterceptWarmup: true, UserAgent: "ua",
		SubscriptionInfo: json.RawMessage(`{"hasClaudeMax": true}`), ExtInfo: json.RawMessage(`{"x": 1}`), AutoStopOnWarning: true,
		UseUnifiedUserAgent: true, UseUnifiedClientID: true, UnifiedClientID: "c", MaxConcurrency: 5, DisableTempUnavailable: true,
		TempUnavailable503TTLSeconds: 6, TempUnavailable5xxTTLSeconds: 7,
		APIURL: "https://u", DailyQuota: result.MustMoney("12.345678901234"), QuotaResetTime: "23:59", MaxConcurrentTasks: 8,
		BaseAPI: "https://b", ProviderEndpoint: "auto", OAuthProvider: "antigravity", ProjectID: "p", TempProjectID: "t", BaseURL: "https://g",
		AccountID: "acc", ChatGPTUserID: "cu", OrganizationID: "o", OrganizationRole: "r", OrganizationTitle: "ot", PlanType: "pro", EmailVerified: true,
		AzureEndpoint: "https://az", APIVersion: "v", DeploymentName: "d",
		EndpointType: "comm", UserID: "ui", TokenType: "tt", AuthenticationMethod: "am", APIKeyStrategy: "s",
		Region: "eu-west-1", DefaultModel: "m", CredentialType: "access_key", Extra: json.RawMessage(`{"nested": {"n": 1.50, "list": [null, true]}}`),
	}
}

func TestCreateKeepsEveryField(t *testing.T) {
	b := setup(t)
	for _, platform := range accounts.Platforms {
		want := full(platform)
		created, err := b.accs.CreateAccount(b.ctx(), want).Get()
		require.NoError(t, err)
		require.Equal(t, accounts.Created{ID: want.ID, Name: want.Name, Status: accounts.Active, CreatedAt: created.CreatedAt}, created)

		got := b.get(want.ID)
		proxy := *want.ProxyConfig
		proxy.Password = ""
		require.Equal(t, accounts.Account{
			ID: want.ID, Platform: platform, Name: want.Name, Description: want.Description, AccountType: "dedicated", Priority: 7,
			Status: accounts.Active, TokenExpiresAt: want.OAuthData.ExpiresAt, RateLimitStatus: accounts.RateLimitStatus{Remaining: -1},
			Scopes: want.OAuthData.Scopes, ProxyConfig: &proxy, Details: got.Details, CreatedAt: created.CreatedAt, UpdatedAt: created.CreatedAt,
		}, got)
		require.JSONEq(t, marshal(t, want.Details), marshal(t, got.Details))

		require.Equal(t, accounts.Credentials{
			AccountID: want.ID, Platform: platform, IsActive: true,
			AccessToken: want.OAuthData.AccessToken, RefreshToken: want.OAuthData.RefreshToken, APIKey: want.APIKey, Secrets: want.Secrets,
			Scopes: want.OAuthData.Scopes, ExpiresAt: want.OAuthData.ExpiresAt, ProxyConfig: want.ProxyConfig,
		}, b.credentials(want.ID))
	}
}

func TestCreateDefaults(t *testing.T) {
	b := setup(t)
	id := b.create(accounts.AccountData{Platform: accounts.Droid, Name: "bare"})
	a := b.get(id)
	require.Equal(t, "shared", a.AccountType)
	require.Equal(t, 50, a.Priority)
	require.True(t, a.Schedulable)
	require.Nil(t, a.ProxyConfig)
	require.Equal(t, "{}", marshal(t, a.Details))
	c := b.credentials(id)
	require.Equal(t, accounts.Credentials{AccountID: id, Platform: accounts.Droid, IsActive: true, Scopes: c.Scopes}, c)
	require.Empty(t, c.Scopes)
}

func TestGetClaudeAccountIsForClaude(t *testing.T) {
	b := setup(t)
	created, err := b.accs.CreateClaudeAccount(b.ctx(), claude()).Get()
	require.NoError(t, err)
	a, err := b.accs.GetClaudeAccount(b.ctx(), created.ID).Get()
	require.NoError(t, err)
	require.Equal(t, "main", a.Name)

	other := b.create(accounts.AccountData{Platform: accounts.Gemini, Name: "g"})
	require.ErrorIs(t, b.accs.GetClaudeAccount(b.ctx(), other).Err(), result.RecordNotFound)
	require.ErrorIs(t, b.accs.GetClaudeAccount(b.ctx(), unknownID).Err(), result.RecordNotFound)
	require.ErrorIs(t, b.accs.GetAccount(b.ctx(), unknownID).Err(), result.RecordNotFound)
	require.ErrorIs(t, b.accs.GetCredentials(b.ctx(), unknownID).Err(), result.RecordNotFound)
}

func TestATakenID(t *testing.T) {
	b := setup(t)
	data := full(accounts.Claude)
	b.create(data)
	requireField(t, b.accs.CreateAccount(b.ctx(), data).Err(), result.DuplicateKey, "id")
}

// What a caller gives stays the caller's: it may be shared.
func TestCreateChangesNoInput(t *testing.T) {
	b := setup(t, uncached)
	given := func() accounts.AccountData {
		data := full(accounts.Claude)
		data.ID, data.OAuthData.ExpiresAt = "", data.OAuthData.ExpiresAt.Add(1)
		return data
	}
	data := given()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { b.accs.CreateAccount(b.ctx(), data) })
	}
	group.Wait()
	require.Equal(t, given(), data)
	require.Equal(t, 1, data.OAuthData.ExpiresAt.Nanosecond()%1000)
	require.Equal(t, 8, b.count("SELECT count(*) FROM accounts"))
}
