package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// keysPlace is a running gateway, and the commands' environment.
type keysPlace struct {
	*testing.T
	*apikeys.Repo

	env []string
	url string
}

func setupKeys(t *testing.T) *keysPlace {
	t.Helper()
	t.Parallel()
	cfg := testclient.Config(t)
	env := []string{
		"DATABASE_URL=" + cfg.DatabaseURL, "REDIS_URL=" + cfg.RedisURL, "RELAYSTORE_KEY_PREFIX=" + cfg.KeyPrefix, "RELAYSTORE_DIRECT_URL=",
	}
	return &keysPlace{T: t, Repo: testclient.Open(t, cfg).APIKeys, env: env, url: cfg.DatabaseURL}
}

func (k *keysPlace) ran(args ...string) string {
	k.Helper()
	return ran(k.T, k.env, append([]string{"keys"}, args...)...)
}

func (k *keysPlace) create(args ...string) (c apikeys.Created) {
	k.Helper()
	require.NoError(k, json.Unmarshal([]byte(k.ran(append([]string{"create", "--json"}, args...)...)), &c))
	return c
}

func (k *keysPlace) shown(args ...string) (key apikeys.APIKey) {
	k.Helper()
	require.NoError(k, json.Unmarshal([]byte(k.ran(append(args, "--json")...)), &key))
	return key
}

func (k *keysPlace) listed(args ...string) (names []string, p apikeys.Page) {
	k.Helper()
	require.NoError(k, json.Unmarshal([]byte(k.ran(append([]string{"list", "--json"}, args...)...)), &p))
	for _, key := range p.Keys {
		names = append(names, key.Name)
	}
	return names, p
}

// verdict is what the gateway says of a key.
func (k *keysPlace) verdict(plaintext string) string {
	k.Helper()
	v, err := k.ValidatePlaintext(k.Context(), plaintext).Get()
	if err != nil {
		require.ErrorIs(k, err, result.RecordNotFound)
		return "unknown"
	}
	return map[bool]string{true: "good", false: "refused"}[v.IsActive]
}

func (k *keysPlace) becomes(want, plaintext string) {
	k.Helper()
	require.Eventually(k, func() bool { return k.verdict(plaintext) == want }, patience, time.Millisecond)
}

func (k *keysPlace) stored() (n int) {
	k.Helper()
	require.NoError(k, testdb.Pool(k.T, k.url).QueryRow(k.Context(), "SELECT count(*) FROM api_keys").Scan(&n))
	return n
}

func TestKeysCreate(t *testing.T) {
	k := setupKeys(t)
	created := k.create("alice", "--description", "her editor", "--permissions", "claude,openai", "--tag", "a,b", "--tag", "c",
		"--expires-at", "2099-01-02T03:04:05Z", "--token-limit", "7", "--concurrency-limit", "8", "--daily-cost-limit", "0.000000000001")
	require.Regexp(t, `\Acr_[0-9a-f]{64}\z`, created.APIKey)
	require.Equal(t, "good", k.verdict(created.APIKey))
	got := k.shown("show", created.ID)
	require.Equal(t, apikeys.KeyData{
		ID: created.ID, Name: "alice", Description: "her editor", Permissions: "claude,openai", Tags: []string{"a,b", "c"},
		ExpiresAt: time.Date(2099, 1, 2, 3, 4, 5, 0, time.UTC), TokenLimit: 7, ConcurrencyLimit: 8, DailyCostLimit: result.MustMoney("0.000000000001"),
	}, apikeys.KeyData{
		ID: got.ID, Name: got.Name, Description: got.Description, Permissions: got.Permissions, Tags: got.Tags,
		ExpiresAt: got.ExpiresAt, TokenLimit: got.TokenLimit, ConcurrencyLimit: got.ConcurrencyLimit, DailyCostLimit: got.DailyCostLimit,
	})

	out := k.ran("create", "bob")
	lines := strings.Split(out, "\n")
	require.Len(t, lines, 3)
	require.Contains(t, lines[0], "Created bob as ")
	require.Equal(t, "good", k.verdict(lines[1]))
}

func TestKeysTakeOverAPlaintext(t *testing.T) {
	k := setupKeys(t)
	const line = "sk-a-key-of-before"
	p := relaystoreWithInput(t, k.env, line+"\r\n", "keys", "create", "alice", "--plaintext", "-")
	out, code := p.finish(t)
	require.Equal(t, exitOK, code, p.errors.String())
	require.NotContains(t, out, line)
	require.NotContains(t, out, "shown this once")
	require.Equal(t, "good", k.verdict(line))

	file := filepath.Join(t.TempDir(), "key")
	args := []string{"keys", "create", "bob", "--plaintext", file}
	require.Contains(t, failed(t, k.env, args...), "no such file")
	for text, want := range map[string]string{
		line: "DB_DUPLICATE_KEY", "": "holds no key", "\n": "holds no key", line + "\n\n": "not one line", line + "\n" + line: "not one line", " " + line: "not one line",
		line + "\x00": "not one line", line + "\xff": "not one line", line + "\x1b[2J": "not one line",
		strings.Repeat("x", 1025): "larger than 1024", strings.Repeat("x", 1<<20): "larger than ",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		message := failed(t, k.env, args...)
		require.Contains(t, message, want)
		require.NotContains(t, message, line)
	}
	require.Equal(t, 1, k.stored())
	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat("x", 1024)+"\n"), 0o600))
	require.Empty(t, k.create("bob", "--plaintext", file).APIKey)
	require.Equal(t, "good", k.verdict(strings.Repeat("x", 1024)))
}

func TestKeysList(t *testing.T) {
	k := setupKeys(t)
	require.Contains(t, k.ran("list"), "0 of 0 keys.")
	var all []apikeys.Created
	for _, args := range [][]string{
		{"alice", "--tag", "x", "--tag", "y", "--daily-cost-limit", "25"}, {"bob", "--tag", "x", "--permissions", "claude"},
		{"carol", "--expires-at", "2020-01-01T00:00:00Z"}, {"\x1b[2Jeve\nx", "--permissions", "openai"},
	} {
		all = append(all, k.create(args...))
	}
	k.ran("disable", all[1].ID)
	for args, want := range map[string][]string{
		"":                              {"\x1b[2Jeve\nx", "carol", "bob", "alice"},
		"--active":                      {"\x1b[2Jeve\nx", "alice"},
		"--active=false":                {"carol", "bob"},
		"--tag x":                       {"bob", "alice"},
		"--tag x --tag y":               {"alice"},
		"--permissions openai":          {"\x1b[2Jeve\nx", "carol", "alice"},
		"--limit 2 --offset 1":          {"carol", "bob"},
		"--sort-by name --limit 2":      {"carol", "bob"},
		"--sort-order ASC":              {"alice", "bob", "carol", "\x1b[2Jeve\nx"},
		"--offset 4":                    nil,
		"--tag x;DROP_TABLE_api_keys--": nil,
	} {
		names, _ := k.listed(strings.Fields(args)...)
		require.Equal(t, want, names, args)
	}
	_, p := k.listed("--limit", "3", "--offset", "3")
	require.Equal(t, []int{4, 2, 2}, []int{p.Total, p.Page, p.TotalPages})

	table := k.ran("list")
	for _, want := range []string{all[0].ID, "alice", "x, y", "25", "disabled", "expired", "2020-01-01 00:00:00", "�[2Jeve�x", "4 of 4 keys."} {
		require.Contains(t, table, want)
	}
	said := []string{table, k.ran("list", "--json")}
	for _, c := range all {
		said = append(said, k.ran("show", c.ID), k.ran("show", c.ID, "--json"), k.ran("enable", c.ID), k.ran("disable", c.ID, "--json"))
	}
	everything := strings.Join(said, "")
	require.NotContains(t, everything, "\x1b")
	require.NotContains(t, everything, "hash")
	for _, c := range all {
		require.NotContains(t, everything, c.APIKey)
		require.NotContains(t, everything, c.HashedKey)
	}
}

// The gateway that has just said yes says no, as soon as it has heard.
func TestKeysDisableEnableDelete(t *testing.T) {
	k := setupKeys(t)
	alice, bob := k.create("alice"), k.create("bob")
	require.Equal(t, "good", k.verdict(alice.APIKey))
	require.False(t, k.shown("disable", alice.ID).IsActive)
	k.becomes("refused", alice.APIKey)
	require.False(t, k.shown("disable", alice.ID).IsActive, "again")
	require.Contains(t, k.ran("show", alice.ID), "disabled")
	require.True(t, k.shown("enable", alice.ID).IsActive)
	k.becomes("good", alice.APIKey)

	require.JSONEq(t, `{"success":true}`, k.ran("delete", alice.ID, "--json"))
	k.becomes("unknown", alice.APIKey)
	for _, verb := range []string{"delete", "show", "enable", "disable"} {
		require.Contains(t, failed(t, k.env, "keys", verb, alice.ID), "DB_RECORD_NOT_FOUND")
	}
	require.Equal(t, "unknown", k.verdict(alice.APIKey))
	require.Equal(t, "good", k.verdict(bob.APIKey))
	require.Equal(t, "Deleted "+bob.ID+".\n", k.ran("delete", bob.ID))
	k.becomes("unknown", bob.APIKey)
}

func TestKeysRefuseWrongUse(t *testing.T) {
	k := setupKeys(t)
	created := k.create("alice")
	before := k.shown("show", created.ID)
	const id = "11111111-1111-4111-8111-111111111111"
	for _, use := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "", []string{"nonsense"}},
		{exitUsage, "", []string{"create"}},
		{exitUsage, "", []string{"create", "a", created.APIKey}},
		{exitUsage, "", []string{"create", "a", "--api-key", created.APIKey}},
		{exitUsage, "", []string{"create", "a", "--token-limit", "1e9"}},
		{exitUsage, "", []string{"create", "a", "--daily-cost-limit", "NaN"}},
		{exitUsage, "", []string{"create", "a", "--daily-cost-limit", "1e999999999"}},
		{exitUsage, "", []string{"create", "-rf"}},
		{exitUsage, "NAME: required", []string{"create", ""}},
		{exitUsage, "NAME: longer", []string{"create", strings.Repeat("é", 256)}},
		{exitUsage, "NAME: not valid UTF-8", []string{"create", "\xff\xfe"}},
		{exitUsage, "--description: longer", []string{"create", "a", "--description", strings.Repeat("x", 100_000)}},
		{exitUsage, "--permissions: must be", []string{"create", "a", "--permissions", "all,claude"}},
		{exitUsage, "--permissions: must be", []string{"create", "a", "--permissions", "claude' OR '1'='1"}},
		{exitUsage, "--tag: holds an empty", []string{"create", "a", "--tag", ""}},
		{exitUsage, "--token-limit: must lie", []string{"create", "a", "--token-limit", "-1"}},
		{exitUsage, "--concurrency-limit: must lie", []string{"create", "a", "--concurrency-limit", "9223372036854775807"}},
		{exitUsage, "--daily-cost-limit: ", []string{"create", "a", "--daily-cost-limit", "-0.01"}},
		{exitUsage, "--expires-at: must be", []string{"create", "a", "--expires-at", "tomorrow"}},
		{exitUsage, "--expires-at: must lie", []string{"create", "a", "--expires-at", "0000-01-01T00:00:00Z"}},
		{exitUsage, "", []string{"show"}},
		{exitUsage, "", []string{"show", id, id}},
		{exitUsage, "ID: not a UUID", []string{"show", created.APIKey}},
		{exitUsage, "ID: not a UUID", []string{"disable", "'; DROP TABLE api_keys; --"}},
		{exitUsage, "ID: not a UUID", []string{"delete", ""}},
		{exitFailure, "DB_RECORD_NOT_FOUND", []string{"delete", id}},
		{exitUsage, "", []string{"list", "x"}},
		{exitUsage, "", []string{"list", "--active=perhaps"}},
		{exitUsage, "--limit: must lie", []string{"list", "--limit", "1001"}},
		{exitUsage, "--offset: must lie", []string{"list", "--offset", "-1"}},
		{exitUsage, "--sort-by: must be one of", []string{"list", "--sort-by", "hashedKey; DROP TABLE api_keys"}},
		{exitUsage, "--sort-order: must be", []string{"list", "--sort-order", "up"}},
		{exitUsage, "--permissions: must be", []string{"list", "--permissions", "claude,openai"}},
		{exitUsage, "--tag: not valid UTF-8", []string{"list", "--tag", "\xff"}},
	} {
		p := relaystore(t, k.env, append([]string{"keys"}, use.args...)...)
		out, code := p.finish(t)
		require.Equal(t, use.code, code, use.args)
		require.Empty(t, out)
		require.Regexp(t, `\Arelaystore: [^\n]+\n\z`, p.errors.String(), use.args)
		require.Contains(t, p.errors.String(), use.want)
		require.NotContains(t, p.errors.String(), created.APIKey)
	}
	require.Equal(t, before, k.shown("show", created.ID))
	require.Equal(t, 1, k.stored())
	p := relaystore(t, serverEnv(t, testdb.EmptyURL(t)), "keys", "list")
	_, code := p.finish(t)
	require.Equal(t, exitNotMigrated, code)
}
