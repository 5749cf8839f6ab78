package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/redis/rueidis"
	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/accounts/oauth"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/schema"
)

const demoHelp = `Plays a gateway's life through the library: keys, validation, usage, figures,
upstream accounts, an OAuth refresh, sessions and a revocation, on a private
PostgreSQL and Redis that go away with it.

Where DATABASE_URL or REDIS_URL is set, that server is used instead: the demo
works there in a database and under a key prefix of its own, and removes them.`

// removeTimeout bounds the removal of a database and of its keys in Redis.
const removeTimeout = time.Minute

// newDemoCmd is `relaystore demo`.
func newDemoCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "demo",
		Short:   "Play a gateway's life and clean up",
		Long:    demoHelp,
		Example: "  relaystore demo\n  DATABASE_URL=postgres://… REDIS_URL=redis://… relaystore demo",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			show := &story{w: c.OutOrStdout()}
			show.title("relaystore: a gateway's life")
			if err := show.tell(c.Context()); err != nil {
				return err
			}
			show.step("Done; nothing is left behind")
			return nil
		},
	}
}

// tell plays the story and removes what it used.
func (s *story) tell(ctx context.Context) (err error) {
	databaseURL, redisURL := os.Getenv("DATABASE_URL"), os.Getenv("REDIS_URL")
	if databaseURL == "" || redisURL == "" {
		s.step("Starting private servers")
	}
	stack, err := devstack.Start(ctx, devstack.Options{SkipPostgres: databaseURL != "", SkipRedis: redisURL != ""})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stack.Close()) }()
	place, err := newPlace(ctx, "demo", databaseURL+stack.DatabaseURL, redisURL+stack.RedisURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, place.remove(ctx)) }()

	s.step("Migrating a new database")
	if err := schema.Migrate(ctx, place.databaseURL); err != nil {
		return result.From(err)
	}
	if s.provider, err = newProvider(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.provider.Close()) }()
	keys, err := seal.Generate()
	if err != nil {
		return err
	}
	cfg := repo.Config{
		DatabaseURL: place.databaseURL, RedisURL: place.redisURL, KeyPrefix: place.prefix,
		Keyset: keys, OAuth: oauth.Endpoints{accounts.Claude: {TokenURL: s.provider.url, ClientID: "demo"}},
	}
	return withConfig(ctx, cfg, func(client *repo.Client) error { return s.play(ctx, client) })
}

// place is a database and a key prefix that nobody else has.
type place struct {
	adminURL, databaseURL, redisURL, prefix, database string
}

// newPlace makes a place for what.
func newPlace(ctx context.Context, what, databaseURL, redisURL string) (place, error) {
	name := "relaystore_" + what + "_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	p := place{adminURL: databaseURL, redisURL: redisURL, prefix: name + ":", database: name}
	var err error
	if p.databaseURL, err = withDatabase(databaseURL, name); err != nil {
		return place{}, err
	}
	if ctx.Err() != nil {
		return place{}, ctx.Err()
	}
	// Not with the caller's ctx: PostgreSQL may finish what is cancelled, and nobody
	// would know to drop it.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := p.exec(bounded, "CREATE DATABASE "+name); err != nil {
		return place{}, fmt.Errorf("cannot create the database %s: %w", name, err)
	}
	return p, nil
}

// withDatabase gives a connection string that leads to another database.
func withDatabase(databaseURL, name string) (string, error) {
	if !strings.HasPrefix(databaseURL, "postgres") {
		return databaseURL + " dbname=" + name, nil // the key=value form: the last one counts
	}
	u, err := url.Parse(databaseURL)
	if err != nil {
		return "", result.Invalid("DATABASE_URL", "cannot be parsed")
	}
	u.Path = "/" + name
	return u.String(), nil
}

// exec runs one statement on the database that the URL leads to.
func (p place) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, p.adminURL)
	if err != nil {
		return result.From(err)
	}
	defer conn.Close(ctx)
	if _, err = conn.Exec(ctx, sql); err != nil {
		return result.From(err)
	}
	return nil
}

// remove works also when ctx has ended.
func (p place) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	return errors.Join(p.removeKeys(ctx), p.exec(ctx, "DROP DATABASE IF EXISTS "+p.database+" WITH (FORCE)"))
}

func (p place) removeKeys(ctx context.Context) error {
	opt, err := rueidis.ParseURL(p.redisURL)
	if err != nil {
		return result.Invalid("REDIS_URL", "cannot be parsed")
	}
	client, err := rueidis.NewClient(opt)
	if err != nil {
		return fmt.Errorf("keys under %s may be left in Redis: %w", p.prefix, result.CacheError)
	}
	defer client.Close()
	for cursor := uint64(0); ; {
		page, err := client.Do(ctx, client.B().Scan().Cursor(cursor).Match(p.prefix+"*").Count(1000).Build()).AsScanEntry()
		if err != nil {
			return result.From(err)
		}
		if len(page.Elements) > 0 {
			if err := client.Do(ctx, client.B().Unlink().Key(page.Elements...).Build()).Error(); err != nil {
				return result.From(err)
			}
		}
		if cursor = page.Cursor; cursor == 0 {
			return nil
		}
	}
}
