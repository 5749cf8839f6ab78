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
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
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
			set("usage:daily:"+id+":2026-11-11", "inputTokens", "10", "outputTokens", "5", "allTokens", "15", "requests", "1", "longContextRequests", "1"),
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

// target tells what an import has left in a database.
func target(t *testing.T, pool *pgxpool.Pool) (lines []string) {
	t.Helper()
	for _, query := range []string{
		`SELECT concat_ws(' ', scope, id, model, resolution, starts_at, requests, input_tokens, output_tokens, total_tokens, cost) FROM usage_imported ORDER BY 1`,
		`SELECT concat_ws(' ', id, name, is_active, created_at, updated_at) FROM api_keys ORDER BY 1`,
		`SELECT concat_ws(' ', id, name, schedulable, status, details, created_at, updated_at) FROM accounts ORDER BY 1`,
		`SELECT concat_ws(' ', kind, id, length(data)) FROM legacy_objects ORDER BY 1`,
	} {
		rows, err := pool.Query(t.Context(), query)
		require.NoError(t, err)
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		lines = append(lines, found...)
	}
	return lines
}

// An import that is killed, or interrupted, goes on when it is run again, and then all is
// as if nothing had happened.
func TestImportIsKilled(t *testing.T) {
	t.Parallel()
	at, _ := legacyRedis(t, 1500)
	args := []string{"import", "--redis", at, "--encryption-key-file", keyFile(t, importKey), "--json"}
	undisturbed := importEnv(t)
	want, code := relaystore(t, undisturbed, args...).finish(t)
	require.Zero(t, code)
	var rep importReport
	require.NoError(t, json.Unmarshal([]byte(want), &rep))
	require.Zero(t, rep.Unexplained)
	require.Equal(t, 1500, rep.Imported["apikey"])
	require.Equal(t, 1, rep.Imported["account"])
	require.Len(t, rep.Compare, 3000)

	env := importEnv(t)
	pool := testdb.Pool(t, databaseOf(env))
	for _, moment := range []struct {
		query string
		sign  syscall.Signal
		code  int
	}{
		{"SELECT count(*) > 0 FROM api_keys", syscall.SIGKILL, -1},
		{"SELECT count(*) >= 1000 FROM api_keys", syscall.SIGINT, exitInterrupted},
		{"SELECT count(*) > 0 FROM usage_imported", syscall.SIGKILL, -1},
		{"SELECT count(*) > 750 FROM usage_imported", syscall.SIGTERM, exitInterrupted},
		{"SELECT count(*) > 0 FROM legacy_objects", syscall.SIGKILL, -1},
	} {
		p := relaystore(t, env, args...)
		require.Eventually(t, func() bool {
			var now bool
			require.NoError(t, pool.QueryRow(t.Context(), moment.query).Scan(&now))
			return now
		}, patience, time.Millisecond)
		require.NoError(t, p.Process.Signal(moment.sign))
		_, code := p.finish(t)
		if code != exitOK { // it may have been faster
			require.Equal(t, moment.code, code, p.errors.String())
		}
		if code == exitInterrupted {
			require.Contains(t, p.errors.String(), "run the same command to go on")
		}
	}
	for range 2 {
		p := relaystore(t, env, args...)
		out, code := p.finish(t)
		require.Zero(t, code, p.errors.String())
		require.Equal(t, want, out)
		require.Equal(t, target(t, testdb.Pool(t, databaseOf(undisturbed))), target(t, pool))
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
	wrong, closed, nowhere := *parsed, *parsed, *parsed
	wrong.User, closed.Host, nowhere.Host = url.UserPassword("", password+"s"), "127.0.0.1:1", "nowhere.invalid:6379"
	for _, c := range []struct {
		says string
		code int
		args []string
	}{
		{"opens none of 1 secrets; nothing was written", exitUsage, []string{"--redis", at, "--encryption-key-file", keyFile(t, "wrong")}},
		{"CSV", exitUsage, []string{"--file", csv, "--encryption-key-file", keyFile(t, importKey)}},
		{csv + ": not an RDB file\n", exitUsage, []string{"--rdb", csv, "--encryption-key-file", keyFile(t, importKey)}},
		{"tz-offset", exitUsage, []string{"--redis", at, "--tz-offset", "99", "--encryption-key-file", keyFile(t, importKey)}},
		{"at least one of the flags", exitUsage, []string{"--encryption-key-file", "x"}},
		{"none of the others can be", exitUsage, []string{"--redis", at, "--file", csv, "--encryption-key-file", "x"}},
		{"encryption-key-file", exitUsage, []string{"--redis", at}},
		{"cannot connect to the legacy Redis: it refused the login\n", exitFailure, []string{"--redis", wrong.String(), "--encryption-key-file", keyFile(t, importKey)}},
		{"nothing listens at its port\n", exitFailure, []string{"--redis", closed.String(), "--encryption-key-file", keyFile(t, importKey)}},
		{"its host's name is not known\n", exitFailure, []string{"--redis", nowhere.String(), "--encryption-key-file", keyFile(t, importKey)}},
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
