package testdb

import (
	"context"
	"log"
	"net/url"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/schema"
)

// ForExample gives the URL of a new, migrated database for an Example function,
// which has no testing.TB, and what drops it. It panics where that fails.
func ForExample() (databaseURL string, drop func()) {
	ctx := context.Background()
	name := "relaystore_example_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	must(run(ctx, "CREATE DATABASE "+name))
	u, err := url.Parse(os.Getenv("DATABASE_URL"))
	must(err)
	u.Path = "/" + name
	must(schema.Migrate(ctx, u.String()))
	return u.String(), func() { must(run(ctx, "DROP DATABASE "+name+" WITH (FORCE)")) }
}

func run(ctx context.Context, sql string) error {
	if os.Getenv("DATABASE_URL") == "" {
		log.Panic("DATABASE_URL is not set: run make test, or relaystore dev -- go test ./...")
	}
	conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

func must(err error) {
	if err != nil {
		log.Panic(err)
	}
}
