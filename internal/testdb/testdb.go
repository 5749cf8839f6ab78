package testdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/schema"
)

// URL gives the URL of a new, migrated database, which is dropped after the test.
// It is copied from a template that is made once for a state of the migrations.
func URL(t testing.TB) string {
	t.Helper()
	name := template(t)
	return create(t, "TEMPLATE "+name)
}

// EmptyURL gives the URL of a new database without any migration.
func EmptyURL(t testing.TB) string {
	t.Helper()
	return create(t, "")
}

// LatinURL gives the URL of a new, migrated database that holds no character
// outside LATIN1, and refuses others.
func LatinURL(t testing.TB) string {
	t.Helper()
	url := create(t, "TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
	require.NoError(t, schema.Migrate(t.Context(), url))
	if !strings.Contains(url, "?") {
		return url + "?client_encoding=UTF8"
	}
	return url + "&client_encoding=UTF8"
}

// Pool gives a pool on the database at url, closed after the test.
func Pool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// RedisURL gives the URL of the tests' Redis.
func RedisURL(t testing.TB) string {
	t.Helper()
	return env(t, "REDIS_URL")
}

// Prefix gives a key prefix that no other test has; its keys go after the test.
func Prefix(t testing.TB) string {
	t.Helper()
	prefix := "test:" + uuid.NewString() + ":"
	t.Cleanup(func() { removeKeys(t, prefix) })
	return prefix
}

// Redis gives a client of the tests' Redis, closed after the test.
func Redis(t testing.TB) rueidis.Client {
	t.Helper()
	return RedisAt(t, RedisURL(t))
}

// RedisAt gives a client of the one server at url, closed after the test.
func RedisAt(t testing.TB, url string) rueidis.Client {
	t.Helper()
	opt, err := rueidis.ParseURL(url)
	require.NoError(t, err)
	opt.ForceSingleClient = true
	client, err := rueidis.NewClient(opt)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func removeKeys(t testing.TB, prefix string) {
	opt, err := rueidis.ParseURL(RedisURL(t))
	require.NoError(t, err)
	client, err := rueidis.NewClient(opt)
	require.NoError(t, err)
	defer client.Close()
	ctx := context.Background()
	for cursor := uint64(0); ; {
		page, err := client.Do(ctx, client.B().Scan().Cursor(cursor).Match(prefix+"*").Count(1000).Build()).AsScanEntry()
		require.NoError(t, err)
		if len(page.Elements) > 0 {
			require.NoError(t, client.Do(ctx, client.B().Unlink().Key(page.Elements...).Build()).Error())
		}
		if cursor = page.Cursor; cursor == 0 {
			return
		}
	}
}

func env(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	require.NotEmpty(t, value, "%s is not set: run make test, or relaystore dev -- go test ./...", name)
	return value
}

func create(t testing.TB, options string) string {
	t.Helper()
	name := "relaystore_test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	exec(t, "CREATE DATABASE "+name+" "+options)
	t.Cleanup(func() { exec(t, "DROP DATABASE "+name+" WITH (FORCE)") })
	return at(t, name)
}

// exec runs one statement on the server's own database.
func exec(t testing.TB, sql string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, env(t, "DATABASE_URL"))
	require.NoError(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	require.NoError(t, err)
}

// at gives DATABASE_URL with another database's name.
func at(t testing.TB, database string) string {
	t.Helper()
	u, err := url.Parse(env(t, "DATABASE_URL"))
	require.NoError(t, err)
	u.Path = "/" + database
	return u.String()
}

var (
	templateOnce sync.Once
	templateName string
)

// template gives the name of a migrated database, made by whichever test process
// comes first. It stays: its name changes with the migrations.
func template(t testing.TB) string {
	t.Helper()
	templateOnce.Do(func() { templateName = makeTemplate(t) })
	require.NotEmpty(t, templateName, "the template could not be made; the first failure says why")
	return templateName
}

func makeTemplate(t testing.TB) string {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, env(t, "DATABASE_URL"))
	require.NoError(t, err)
	defer conn.Close(ctx)
	// Ended with the connection, so also when this process is killed.
	_, err = conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext('relaystore test template'))")
	require.NoError(t, err)
	name := "relaystore_template_" + migrationsHash(t)
	var ready bool
	require.NoError(t, conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&ready))
	if ready {
		return name
	}
	// Migrated under another name first: a killed process leaves no half template.
	for _, sql := range []string{
		"DROP DATABASE IF EXISTS " + name + "_new WITH (FORCE)", "CREATE DATABASE " + name + "_new",
	} {
		_, err = conn.Exec(ctx, sql)
		require.NoError(t, err)
	}
	require.NoError(t, schema.Migrate(ctx, at(t, name+"_new")))
	_, err = conn.Exec(ctx, "ALTER DATABASE "+name+"_new RENAME TO "+name)
	require.NoError(t, err)
	return name
}

func migrationsHash(t testing.TB) string {
	sum := sha256.New()
	files, err := fs.Glob(schema.FS(), "*.sql")
	require.NoError(t, err)
	for _, f := range files {
		content, err := fs.ReadFile(schema.FS(), f)
		require.NoError(t, err)
		sum.Write(content)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}
