package schema_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/schema"
)

const migrateURL = "SCHEMA_TEST_MIGRATE_URL"

// TestMain makes the test binary a migrating process where a test asks for it.
func TestMain(m *testing.M) {
	if url := os.Getenv(migrateURL); url != "" {
		if err := schema.Migrate(context.Background(), url); err != nil {
			_, _ = os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// bundle is an empty database.
type bundle struct {
	t        *testing.T
	url      string
	pool     *pgxpool.Pool
	migrator *schema.Migrator
}

func setup(t *testing.T) bundle {
	t.Helper()
	url := testdb.EmptyURL(t)
	m, err := schema.Open(url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return bundle{t, url, testdb.Pool(t, url), m}
}

func (b bundle) exec(sql string) {
	b.t.Helper()
	_, err := b.pool.Exec(b.t.Context(), sql)
	require.NoError(b.t, err)
}

// goose is the way of those who run goose themselves.
func (b bundle) goose(migrations fs.FS) *goose.Provider {
	b.t.Helper()
	cfg, err := pgx.ParseConfig(b.url)
	require.NoError(b.t, err)
	p, err := goose.NewProvider(goose.DialectPostgres, stdlib.OpenDB(*cfg), migrations)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { require.NoError(b.t, p.Close()) })
	return p
}

// upByOne applies the next migration and gives its version, 0 for none.
func (b bundle) upByOne(p *goose.Provider) int64 {
	b.t.Helper()
	done, err := p.UpByOne(b.t.Context())
	if errors.Is(err, goose.ErrNoNextVersion) {
		return 0
	}
	require.NoError(b.t, err)
	return done.Source.Version
}

func (b bundle) down(want int64) {
	b.t.Helper()
	version, err := b.migrator.Down(b.t.Context())
	require.NoError(b.t, err)
	require.Equal(b.t, want, version)
}

// varying are the lines of a dump that differ each time.
var varying = regexp.MustCompile(`(?m)^(\\(un)?restrict .*|--.*|SELECT pg_catalog.setval\('public.goose_db_version_id_seq'.*)$\n`)

// structure dumps the database's schema, goose's own table left out.
func (b bundle) structure() string {
	return b.dump("--schema-only", "--exclude-table=goose_db_version")
}

// rows dumps the data.
func (b bundle) rows() string {
	return b.dump("--data-only", "--inserts", "--exclude-table=goose_db_version")
}

func (b bundle) dump(args ...string) string {
	b.t.Helper()
	out, err := exec.CommandContext(b.t.Context(), pgDump(b.t, b.pool), append(args, b.url)...).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		require.Fail(b.t, "pg_dump", string(failed.Stderr))
	}
	require.NoError(b.t, err)
	return varying.ReplaceAllString(string(out), "")
}

// pgDump finds a pg_dump that is not older than the server.
func pgDump(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	var server string
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int / 10000").Scan(&server))
	var found []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"} {
		dirs, err := filepath.Glob(pattern)
		require.NoError(t, err)
		found = append(found, dirs...)
	}
	found = append(filepath.SplitList(os.Getenv("PATH")), found...)
	found = slices.DeleteFunc(found, func(dir string) bool {
		out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "pg_dump"), "--version").Output()
		return err != nil || !strings.Contains(string(out), "(PostgreSQL) "+server+".")
	})
	require.NotEmpty(t, found, "no pg_dump of PostgreSQL %s in PATH or where packages put it", server)
	return filepath.Join(found[0], "pg_dump")
}
