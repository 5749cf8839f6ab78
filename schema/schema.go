package schema

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed *.sql
var migrations embed.FS

const (
	// lockTimeout is how long a statement of a migration waits for a table that
	// the running gateways use, before it gives up and nothing has changed.
	lockTimeout    = 5 * time.Second
	connectTimeout = 5 * time.Second
	// Another migrator is waited for as long as lockProbes × lockProbeSeconds.
	lockProbeSeconds = 1
	lockProbes       = 300
)

// FS gives the migrations, for those who run goose themselves.
func FS() fs.FS { return migrations }

// Migrator runs migrations on a connection of its own. Its errors wrap pgx's and
// may quote SQL: pass them through result.From before anyone sees them.
type Migrator struct {
	db       *sql.DB
	provider *goose.Provider
}

// Open prepares migrations of the database at url, which must not lead through
// a transaction pooler: the lock between migrators belongs to the session.
func Open(url string) (*Migrator, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the database URL cannot be parsed") // the cause may hold the password
	}
	cfg.RuntimeParams["lock_timeout"] = strconv.FormatInt(lockTimeout.Milliseconds(), 10)
	cfg.RuntimeParams["application_name"] = "relaystore migrate"
	cfg.ConnectTimeout = min(cfg.ConnectTimeout, connectTimeout)
	db := stdlib.OpenDB(*cfg)
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(lockProbeSeconds, lockProbes))
	if err != nil {
		return nil, err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations,
		goose.WithSessionLocker(locker), goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	return &Migrator{db: db, provider: provider}, nil
}

// Close ends the connection.
func (m *Migrator) Close() error { return m.provider.Close() }

// Up applies what is missing and gives the versions it applied. Several
// processes may call it at once: one works, the others wait.
func (m *Migrator) Up(ctx context.Context) ([]int64, error) {
	done, err := m.provider.Up(ctx)
	return versions(done), err
}

// Down takes back the newest migration, and its data with it. It gives 0 where
// none is applied.
func (m *Migrator) Down(ctx context.Context) (int64, error) {
	current, err := m.Version(ctx)
	if err != nil || current == 0 {
		return 0, err
	}
	_, err = m.provider.Down(ctx)
	return current, err
}

// DownTo takes back every migration newer than version.
func (m *Migrator) DownTo(ctx context.Context, version int64) ([]int64, error) {
	done, err := m.provider.DownTo(ctx, version)
	return versions(done), err
}

// Version gives the newest applied migration, 0 for none.
func (m *Migrator) Version(ctx context.Context) (int64, error) {
	return m.provider.GetDBVersion(ctx)
}

// Status lists the migrations in order.
func (m *Migrator) Status(ctx context.Context) ([]Migration, error) {
	status, err := m.provider.Status(ctx)
	out := make([]Migration, len(status))
	for i, s := range status {
		out[i] = Migration{Version: s.Source.Version, Name: s.Source.Path, AppliedAt: s.AppliedAt}
	}
	return out, err
}

// Migration is one step of the schema.
type Migration struct {
	Version int64  `json:"version"`
	Name    string `json:"name"`
	// AppliedAt is zero while it is not applied.
	AppliedAt time.Time `json:"appliedAt,omitzero"`
}

// Migrate brings the database at url up to date: Open, Up and Close.
func Migrate(ctx context.Context, url string) error {
	m, err := Open(url)
	if err != nil {
		return err
	}
	defer m.Close()
	_, err = m.Up(ctx)
	return err
}

func versions(done []*goose.MigrationResult) []int64 {
	out := make([]int64, len(done))
	for i, d := range done {
		out[i] = d.Source.Version
	}
	return out
}
