package accounts_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestSetCredentialsReplacesWhatThePatchHas(t *testing.T) {
	b := setup(t)
	id := b.create(full(accounts.OpenAI))
	for _, step := range []struct {
		patch  string
		change func(*accounts.Credentials)
	}{
		{`{"apiKey":"new key"}`, func(c *accounts.Credentials) { c.APIKey = "new key" }},
		{`{"apiKey":null}`, func(c *accounts.Credentials) { c.APIKey = "" }},
		{`{"oauthData":{"accessToken":"a2","refreshToken":"r2","scopes":["s"],"expiresAt":"2097-01-01T00:00:00Z"}}`, func(c *accounts.Credentials) {
			c.AccessToken, c.RefreshToken, c.Scopes, c.ExpiresAt = "a2", "r2", []string{"s"}, time.Date(2097, 1, 1, 0, 0, 0, 0, time.UTC)
		}},
		{`{"secrets":{"bearerToken":"b2"}}`, func(c *accounts.Credentials) { c.Secrets = accounts.Secrets{BearerToken: "b2"} }},
		{`{"proxyConfig":{"type":"http","host":"127.0.0.1","port":8080}}`, func(c *accounts.Credentials) {
			c.ProxyConfig = &accounts.ProxyConfig{Type: "http", Host: "127.0.0.1", Port: 8080}
		}},
		{`{"proxyConfig":null}`, func(c *accounts.Credentials) { c.ProxyConfig = nil }},
		{`{"oauthData":null,"secrets":null}`, func(c *accounts.Credentials) {
			c.AccessToken, c.RefreshToken, c.Scopes, c.ExpiresAt, c.Secrets = "", "", []string{}, time.Time{}, accounts.Secrets{}
		}},
	} {
		want := b.credentials(id)
		step.change(&want)
		var p accounts.CredentialsPatch
		require.NoError(t, json.Unmarshal([]byte(step.patch), &p))
		require.NoError(t, b.accs.SetCredentials(b.ctx(), id, p).Err())
		require.JSONEq(t, marshal(t, result.OK(want)), marshal(t, b.accs.GetCredentials(b.ctx(), id)), step.patch)
	}
	require.Equal(t, 0, b.count("SELECT num_nonnulls(access_token, refresh_token, api_key, other_secrets, proxy_password) FROM accounts"))
}

func TestSetCredentialsEndsAnError(t *testing.T) {
	b := setup(t)
	id := b.createClaude()
	status := func() (s string) {
		require.NoError(t, b.pool.QueryRow(b.ctx(), "SELECT status || error_message FROM accounts").Scan(&s))
		return s
	}
	for before, after := range map[string]string{"error": "active", "inactive": "inactivewhy", "rate_limited": "rate_limitedwhy"} {
		b.exec("UPDATE accounts SET status = $1, error_message = 'why'", before)
		require.NoError(t, b.accs.SetCredentials(b.ctx(), id, accounts.CredentialsPatch{ProxyConfig: result.Null[accounts.ProxyConfig]()}).Err())
		require.Equal(t, before+"why", status(), "a proxy authorises nothing")
		require.NoError(t, b.accs.SetCredentials(b.ctx(), id, accounts.CredentialsPatch{OAuthData: result.Set(*claude().OAuthData)}).Err())
		require.Equal(t, after, status())
	}
	require.ErrorIs(t, b.accs.SetCredentials(b.ctx(), unknownID, accounts.CredentialsPatch{APIKey: result.Set("k")}).Err(), result.RecordNotFound)
	require.ErrorIs(t, b.accs.SetCredentials(b.ctx(), id, accounts.CredentialsPatch{}).Err(), result.InvalidQuery)
}
