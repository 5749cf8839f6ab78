package torture

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// askTimeout bounds a question to PostgreSQL, and its recovery after.
	askTimeout    = 2 * time.Minute
	longestDown   = time.Second
	longestPaused = 3 * time.Second
)

// Servers are those that may be killed; nil ones are somebody else's.
type Servers struct {
	Postgres, Redis *devstack.Server
}

func (r *run) postgresFaults() []fault {
	faults := []fault{{name: "connection ended by PostgreSQL", do: r.terminateBackend}}
	if r.servers.Postgres == nil {
		return faults
	}
	return append(faults,
		fault{name: "PostgreSQL killed", kills: true, do: r.killPostgres},
		fault{name: "PostgreSQL's backend killed", kills: true, do: r.killBackend})
}

func (r *run) redisFaults() []fault {
	if r.servers.Redis == nil {
		return nil
	}
	return []fault{
		{name: "Redis killed", kills: true, do: r.killRedis},
		{name: "Redis stopped for a while", do: r.pauseRedis},
	}
}

func (r *run) killPostgres(ctx context.Context, random *rand.Rand) (bool, error) {
	r.servers.Postgres.Kill(syscall.SIGQUIT)
	r.while(ctx, random, longestDown)
	return true, r.servers.Postgres.Start(context.WithoutCancel(ctx))
}

func (r *run) killRedis(ctx context.Context, random *rand.Rand) (bool, error) {
	r.servers.Redis.Kill(syscall.SIGKILL)
	r.while(ctx, random, longestDown)
	return true, r.servers.Redis.Start(context.WithoutCancel(ctx))
}

func (r *run) pauseRedis(ctx context.Context, random *rand.Rand) (bool, error) {
	if err := r.servers.Redis.Pause(); err != nil {
		return false, err
	}
	r.while(ctx, random, longestPaused)
	return true, r.servers.Redis.Resume()
}

// aBackend is any connection of a gateway.
const aBackend = `SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'relaystore' AND pid <> pg_backend_pid()
ORDER BY random() LIMIT 1`

// killBackend is SIGKILL to one of PostgreSQL's processes: it ends all others then
// and recovers as after a crash.
func (r *run) killBackend(ctx context.Context, _ *rand.Rand) (bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	var pid int
	if err := r.ask(ctx, aBackend, &pid); err != nil {
		return false, unlessAbsent(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return false, unlessAbsent(err)
	}
	return true, r.servers.Postgres.Start(ctx)
}

// unlessAbsent passes over that there is no connection, or not any more, and that
// PostgreSQL is just recovering.
func unlessAbsent(err error) error {
	if err == nil || errors.Is(err, pgx.ErrNoRows) || errors.Is(err, syscall.ESRCH) || result.From(err).Code == result.ConnectionFailed {
		return nil
	}
	return err
}

func (r *run) terminateBackend(ctx context.Context, _ *rand.Rand) (bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	var ended bool
	err := r.ask(ctx, "SELECT pg_terminate_backend(pid) FROM ("+aBackend+") AS b", &ended)
	return ended, unlessAbsent(err)
}

// ask asks PostgreSQL itself for one value.
func (r *run) ask(ctx context.Context, sql string, value any) error {
	conn, err := pgx.Connect(ctx, r.place.DatabaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it has answered
	return conn.QueryRow(ctx, sql).Scan(value)
}
