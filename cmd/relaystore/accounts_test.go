package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/accounts"
)

const accountDocument = `{"platform": "claude", "name": "main\u001b[31m", "priority": 7,
	"oauthData": {"accessToken": "tok-1", "refreshToken": "tok-2", "scopes": ["a"], "expiresAt": "2099-01-02T03:04:05Z"},
	"proxyConfig": {"type": "socks5", "host": "proxy.example", "port": 1080, "username": "u", "password": "tok-3"}}`

func accountsEnv(t *testing.T) (env []string, file string) {
	t.Helper()
	env, _ = keysetEnv(t)
	env = append(env, serverEnv(t, testdb.URL(t))...)
	ran(t, env, "keyset", "create")
	file = filepath.Join(t.TempDir(), "account.json")
	require.NoError(t, os.WriteFile(file, []byte(accountDocument), 0o600))
	return env, file
}

func accountOf(t *testing.T, out string) (a accounts.Account) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(out), &a))
	return a
}

func TestAccountsForAProgram(t *testing.T) {
	t.Parallel()
	env, file := accountsEnv(t)
	var created accounts.Created
	require.NoError(t, json.Unmarshal([]byte(ran(t, env, "accounts", "add", file, "--json")), &created))
	show := func() accounts.Account { return accountOf(t, ran(t, env, "accounts", "show", created.ID, "--json")) }
	require.Equal(t, 7, show().Priority)
	require.Equal(t, "proxy.example", show().ProxyConfig.Host)

	set := accountOf(t, ran(t, env, "accounts", "set-status", created.ID, "rate_limited", "--reset-at", "2099-01-01T00:00:00Z", "--tokens-remaining", "0", "--message", "429", "--json"))
	require.Equal(t, show(), set)
	require.Equal(t, []any{"rate_limited", "429", int64(0), 2099}, []any{set.Status, set.ErrorMessage, set.RateLimitStatus.Remaining, set.RateLimitStatus.ResetAt.Year()})

	ran(t, env, "accounts", "add", file)
	var p accounts.Page
	require.NoError(t, json.Unmarshal([]byte(ran(t, env, "accounts", "list", "--status", "active", "--platform", "claude", "--json")), &p))
	require.Equal(t, 1, p.Total)
	require.NotEqual(t, created.ID, p.Accounts[0].ID)
}

func TestAccountsForAPerson(t *testing.T) {
	t.Parallel()
	env, file := accountsEnv(t)
	out := ran(t, env, "accounts", "add", file)
	id := strings.TrimSuffix(out[strings.LastIndex(out, " ")+1:], ".\n")
	all := out + ran(t, env, "accounts", "list") + ran(t, env, "accounts", "show", id) + ran(t, env, "accounts", "set-status", id, "inactive", "--message", "holidays")
	for _, want := range []string{"main", "claude", "2099-01-02 03:04:05", "unknown", "1 of 1 accounts.", "socks5://proxy.example:1080", "holidays", "inactive"} {
		require.Contains(t, all, want)
	}
	require.Equal(t, "Paused 1 accounts.\n", ran(t, env, "accounts", "pause", id))
	require.Contains(t, ran(t, env, "accounts", "list"), "inactive, paused")
	require.Equal(t, "Paused 0 accounts.\n", ran(t, env, "accounts", "pause", "--all"))
	require.Equal(t, "Resumed 0 accounts.\n", ran(t, env, "accounts", "resume", "--imported"))
	require.Equal(t, "Resumed 1 accounts.\n", ran(t, env, "accounts", "resume", id))
	require.JSONEq(t, `{"paused": 1}`, ran(t, env, "accounts", "pause", id, "--json"))
	require.JSONEq(t, `{"resumed": 1}`, ran(t, env, "accounts", "resume", id, "--json"))
	require.NotContains(t, ran(t, env, "accounts", "list"), "paused")
	require.NotContains(t, all, "tok-")
	require.NotContains(t, all, "\x1b", "a name does not steer the terminal")
}

func TestAccountsAddReadsStandardInput(t *testing.T) {
	t.Parallel()
	env, _ := accountsEnv(t)
	p := relaystoreWithInput(t, env, accountDocument, "accounts", "add", "-")
	out, code := p.finish(t)
	require.Equal(t, exitOK, code, p.errors.String())
	require.Contains(t, out, "Added main")
}

func TestAccountsFailInOneCleanLine(t *testing.T) {
	t.Parallel()
	env, file := accountsEnv(t)
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	for text, want := range map[string]string{
		`{"name": "n", "platform": "claude", "accesToken": "hunter2"}`:                                        "accesToken: unknown field",
		`{"name": "n", "platform": "hunter2"}`:                                                                "platform: must be one of",
		`{"name": "n", "platform": "claude", "oauthData": {"accessToken": "hunter2\n"}}`:                      "oauthData.accessToken: holds a control character",
		`{"name": "n", "platform": "claude", "proxyConfig": {"type": "http", "host": "hunter2 ", "port": 1}}`: "proxyConfig.host: ",
		`{"hunter2": `: "FILE: not valid JSON",
		`["hunter2"]`:  "not a JSON object",
		`{"name": "` + strings.Repeat("x", 1<<20) + `"}`: "FILE: larger than",
		``: "FILE: not valid JSON",
	} {
		write(text)
		line := failed(t, env, "accounts", "add", file)
		require.Contains(t, line, want)
		require.NotContains(t, line, "hunter2")
	}
	write(accountDocument)
	require.Contains(t, failed(t, append(env, "RELAYSTORE_KEYSET_FILE="), "accounts", "add", file), "RELAYSTORE_KEYSET: required")
	require.Contains(t, failed(t, env, "accounts", "add", file+"x"), "no such file")
	require.Contains(t, failed(t, env, "accounts", "pause"), "ID: name accounts")
	require.Contains(t, failed(t, env, "accounts", "resume", "x", "--imported"), "ID: name accounts")
	require.Contains(t, failed(t, env, "accounts", "show", "x"), "ID: not a UUID")
	require.Contains(t, failed(t, env, "accounts", "show", "11111111-1111-4111-8111-111111111111"), "DB_RECORD_NOT_FOUND")
	require.Contains(t, failed(t, env, "accounts", "list", "--status", "x"), "--status: must be one of")
	require.Contains(t, failed(t, env, "accounts", "set-status", "11111111-1111-4111-8111-111111111111", "x"), "STATUS: must be one of")
	require.Contains(t, failed(t, env, "accounts", "set-status", "11111111-1111-4111-8111-111111111111", "active", "--reset-at", "soon"), "reset-at: ")
	require.Contains(t, ran(t, env, "accounts", "list"), "0 of 0 accounts.")

	p := relaystore(t, env, "accounts", "add")
	_, code := p.finish(t)
	require.Equal(t, exitUsage, code)
}
