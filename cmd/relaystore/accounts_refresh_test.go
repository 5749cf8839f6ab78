package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testprovider"
	"github.com/seed14a526e0/relaystore/repo/accounts"
)

func TestAccountsRefresh(t *testing.T) {
	t.Parallel()
	env, _ := accountsEnv(t)
	p := testprovider.Start(t)
	env = append(env, fmt.Sprintf(`RELAYSTORE_OAUTH={"claude":{"tokenUrl":%q,"clientId":%q}}`, p.URL, testprovider.ClientID))
	add := func() string {
		access, refresh := p.Authorise()
		doc, err := json.Marshal(map[string]any{"platform": "claude", "name": "n", "oauthData": map[string]string{"accessToken": access, "refreshToken": refresh}})
		require.NoError(t, err)
		added := relaystoreWithInput(t, env, string(doc), "accounts", "add", "-", "--json")
		out, code := added.finish(t)
		require.Equal(t, exitOK, code, added.errors.String())
		var created accounts.Created
		require.NoError(t, json.Unmarshal([]byte(out), &created))
		return created.ID
	}
	id := add()
	a := accountOf(t, ran(t, env, "accounts", "refresh", id, "--json"))
	require.WithinDuration(t, time.Now().Add(testprovider.Lifetime*time.Second), a.TokenExpiresAt, time.Minute)
	out := ran(t, env, "accounts", "refresh", id)
	require.Contains(t, out, "token expires (UTC)")
	require.NotContains(t, out, "sk-")
	require.Equal(t, 1, p.Calls())

	id = add()
	p.Answer(testprovider.Says(400, `{"error":"invalid_grant","error_description":"sk-refresh"}`))
	line := failed(t, env, "accounts", "refresh", id)
	require.Contains(t, line, "UPSTREAM_REFRESH_FAILED: ")
	require.Contains(t, line, "(invalid_grant, HTTP status 400)")
	require.NotContains(t, line, "sk-")
	require.Contains(t, ran(t, env, "accounts", "show", id), "authorise the account anew")
	require.Contains(t, failed(t, env, "accounts", "refresh", strings.ReplaceAll(id, "-", "")), "ID: not a UUID")
	require.Contains(t, failed(t, append(env, "RELAYSTORE_OAUTH="), "accounts", "refresh", id), "TokenRefresher: required")
	require.Contains(t, failed(t, append(env, "RELAYSTORE_OAUTH={}x"), "accounts", "refresh", id), "RELAYSTORE_OAUTH: ")
}
