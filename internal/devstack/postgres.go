package devstack

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// Setting fsync is no change, but says that it is meant. 200 connections are
// for test packages that run at the same time.
const postgresConf = `
listen_addresses = ''
port = 5432
unix_socket_directories = '%s'
unix_socket_permissions = 0700
shared_preload_libraries = 'pg_stat_statements'
max_connections = 200
fsync = on
full_page_writes = on
synchronous_commit = on
`

func (s *Stack) startPostgres(ctx context.Context) error {
	if err := s.initdb(ctx); err != nil {
		return err
	}
	if err := s.configurePostgres(); err != nil {
		return &StartError{Server: "postgres", Err: err}
	}
	v := &Server{
		launch: func() (*process, error) {
			// SIGQUIT is the immediate shutdown: no checkpoint, but unlike SIGKILL it
			// ends the children and frees the shared memory.
			return s.spawn("postgres", syscall.SIGQUIT, s.programs.postgres, "-D", dataDir(s.Dir))
		},
		answers: func(ctx context.Context) error { return pingPostgres(ctx, s.Dir) },
	}
	if err := v.try(ctx); err != nil {
		return err
	}
	if err := s.createDatabase(ctx, v.process); err != nil {
		return err
	}
	s.Postgres, s.DatabaseURL = v, databaseURL(s.Dir, "relaystore")
	return nil
}

func pingPostgres(ctx context.Context, dir string) error {
	conn, err := pgx.Connect(ctx, databaseURL(dir, "postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// initdb takes about 1 s. It may be killed at any moment, as the folder is
// thrown away then; its own child ends when its input does.
func (s *Stack) initdb(ctx context.Context) error {
	p, err := s.spawn("initdb", syscall.SIGKILL, s.programs.initdb, "-D", dataDir(s.Dir),
		"-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale="+locale, "--no-sync")
	if err != nil {
		return err
	}
	return p.run(ctx)
}

func (s *Stack) configurePostgres() error {
	path := filepath.Join(dataDir(s.Dir), "postgresql.conf")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, postgresConf, strings.ReplaceAll(socketDir(s.Dir), "'", "''"))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (s *Stack) createDatabase(ctx context.Context, p *process) error {
	conn, err := pgx.Connect(ctx, databaseURL(s.Dir, "postgres"))
	if err != nil {
		return &StartError{Server: "postgres", Err: err, Log: tail(p.log)}
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "CREATE DATABASE relaystore"); err != nil {
		return &StartError{Server: "postgres", Err: err, Log: tail(p.log)}
	}
	return nil
}

// databaseURL names the port too, since PGPORT would change the default one.
func databaseURL(dir, database string) string {
	host := url.QueryEscape(socketDir(dir))
	// Slashes may stay as they are; libpq takes a plus sign literally.
	host = strings.NewReplacer("%2F", "/", "+", "%20").Replace(host)
	return "postgres://postgres@/" + database + "?host=" + host + "&port=5432"
}
