package main

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/internal/testdb"
)

const importKey = "the ENCRYPTION_KEY of a test"

// legacyRedis is a Redis of its own with n keys and one request of each.
func legacyRedis(t *testing.T, n int) (at string, client rueidis.Client) {
	t.Helper()
	stack, err := devstack.Start(t.Context(), devstack.Options{SkipPostgres: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stack.Close()) })
	client = testdb.RedisAt(t, stack.RedisURL)
	set := func(key string, fields ...string) rueidis.Completed {
		return client.B().Arbitrary("HSET").Keys(key).Args(fields...).Build()
	}
	token, err := legacy.NewCipher(importKey).Seal(legacy.Claude, "token")
	require.NoError(t, err)
	commands := rueidis.Commands{
		client.B().Arbitrary("CONFIG", "SET", "appendonly", "no").Build(),
		set("claude:account:"+uuid.NewString(), "name", "account", "accessToken", token, "createdAt", "2026-01-01T00:00:00.000Z"),
	}
	for range n {
		id := uuid.NewString()
		hash := legacy.KeyHash(id, importKey)
		commands = append(commands,
			set("apikey:"+id, "id", id, "name", "key", "apiKey", hash, "isActive", "true", "createdAt", "2026-01-01T00:00:00.000Z"),
			set("apikey:hash_map", hash, id),
			set("usage:"+id, "totalInputTokens", "10", "totalOutputTokens", "5", "totalAllTokens", "15", "totalRequests", "1"),
			set("usage:daily:"+id+":2026-11-11", "inputTokens", "10", "outputTokens", "5", "allTokens", "15", "requests", "1"),
			set("usage:"+id+":model:daily:gpt-4o:2026-11-11", "inputTokens", "10", "outputTokens", "5", "allTokens", "15", "requests", "1"))
	}
	for _, answer := range client.DoMulti(t.Context(), commands...) {
		require.NoError(t, answer.Error())
	}
	return stack.RedisURL, client
}

// importEnv is a migrated database and a keyset.
func importEnv(t *testing.T) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keyset.json")
	p := relaystore(t, nil, "keyset", "create", "--file", file)
	_, code := p.finish(t)
	require.Zero(t, code)
	return []string{"DATABASE_URL=" + testdb.URL(t), "REDIS_URL=", "RELAYSTORE_KEYSET_FILE=" + file}
}

func databaseOf(env []string) string { return strings.TrimPrefix(env[0], "DATABASE_URL=") }

func keyFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "encryption-key")
	require.NoError(t, os.WriteFile(path, []byte(text+"\n"), 0o600))
	return path
}

type importReport struct {
	Found, Imported map[string]int
	Compare         []struct{ Source, Target map[string]json.Number }
	Unexplained     int
}

// An import that is killed goes on when it is run again, and counts nothing twice.
func TestImportIsKilled(t *testing.T) {
	t.Parallel()
	at, _ := legacyRedis(t, 3000)
	env := importEnv(t)
	args := []string{"import", "--redis", at, "--encryption-key-file", keyFile(t, importKey), "--json"}
	pool := testdb.Pool(t, databaseOf(env))
	p := relaystore(t, env, args...)
	require.Eventually(t, func() bool {
		var spans int
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM usage_imported").Scan(&spans))
		return spans > 0
	}, patience, time.Millisecond)
	require.NoError(t, p.Process.Signal(syscall.SIGKILL))
	_, code := p.finish(t)
	require.NotZero(t, code)
	for range 2 {
		p = relaystore(t, env, args...)
		out, code := p.finish(t)
		require.Zero(t, code, p.errors.String())
		var rep importReport
		require.NoError(t, json.Unmarshal([]byte(out), &rep))
		require.Zero(t, rep.Unexplained)
		require.Equal(t, 3000, rep.Imported["apikey"])
		require.Equal(t, 1, rep.Imported["account"])
		require.Len(t, rep.Compare, 6000)
		var requests int
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT sum(requests) FROM usage_imported").Scan(&requests))
		require.Equal(t, 3000, requests)
	}
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	at, _ := legacyRedis(t, 1)
	env := importEnv(t)
	csv := filepath.Join(t.TempDir(), "backup.csv")
	require.NoError(t, os.WriteFile(csv, []byte("ID,名称\n1,a\n"), 0o600))
	parsed, err := url.Parse(at)
	require.NoError(t, err)
	password, _ := parsed.User.Password()
	for _, c := range []struct {
		says string
		code int
		args []string
	}{
		{"opens none of 1 secrets; nothing was written", exitUsage, []string{"--redis", at, "--encryption-key-file", keyFile(t, "wrong")}},
		{"CSV", exitUsage, []string{"--file", csv, "--encryption-key-file", keyFile(t, importKey)}},
		{"tz-offset", exitUsage, []string{"--redis", at, "--tz-offset", "99", "--encryption-key-file", keyFile(t, importKey)}},
		{"at least one of the flags", exitUsage, []string{"--encryption-key-file", "x"}},
		{"none of the others can be", exitUsage, []string{"--redis", at, "--file", csv, "--encryption-key-file", "x"}},
		{"encryption-key-file", exitUsage, []string{"--redis", at}},
	} {
		p := relaystore(t, env, append([]string{"import"}, c.args...)...)
		_, code := p.finish(t)
		require.Equal(t, c.code, code, p.errors.String())
		require.Contains(t, p.errors.String(), c.says)
		require.NotContains(t, p.errors.String(), password)
	}
}

// A dry run tells what would come, and writes nothing.
func TestImportDryRun(t *testing.T) {
	t.Parallel()
	at, _ := legacyRedis(t, 3)
	env := importEnv(t)
	p := relaystore(t, env, "import", "--redis", at, "--encryption-key-file", keyFile(t, importKey), "--dry-run", "--rate")
	out, code := p.finish(t)
	require.Zero(t, code, p.errors.String())
	require.Contains(t, out, "Compared 6 figures: 0 differ")
	require.Contains(t, p.errors.String(), "SCAN and HGETALL alone")
	var rows int
	require.NoError(t, testdb.Pool(t, databaseOf(env)).QueryRow(t.Context(),
		"SELECT (SELECT count(*) FROM api_keys) + (SELECT count(*) FROM accounts) + (SELECT count(*) FROM usage_imported) + (SELECT count(*) FROM legacy_objects)").Scan(&rows))
	require.Zero(t, rows)
}
