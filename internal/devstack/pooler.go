package devstack

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// auth_type any takes each user: the socket's folder is closed to others. A pool
// smaller than its clients makes them share server connections, which shows what hangs
// on one of them.
const poolerConf = `
[databases]
* = host='%s' port=%s user='%s'

[pgbouncer]
listen_addr =
unix_socket_dir = %s
unix_socket_mode = 0700
auth_type = any
pool_mode = transaction
max_client_conn = 500
default_pool_size = 8
`

var poolerDirs = []string{"/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin"}

// Pooler is a PgBouncer in transaction mode, which ends with its stack.
type Pooler struct {
	*Server

	// DatabaseURL leads through it to the database that it was made for.
	DatabaseURL string
}

// AddPooler starts a PgBouncer before the server of databaseURL, which listens on a
// Unix socket and wants no password. It is a [*MissingError] where none is installed.
func (s *Stack) AddPooler(ctx context.Context, databaseURL string) (*Pooler, error) {
	bin := findDir(s.account, poolerDirs, "pgbouncer")
	if bin == "" {
		return nil, &MissingError{Programs: []string{"pgbouncer"}}
	}
	behind, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.Dir, "pooler")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "pgbouncer.ini")
	text := fmt.Sprintf(poolerConf, behind.Host, strconv.Itoa(int(behind.Port)), behind.User, dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	for _, path := range []string{dir, conf} {
		if err := s.account.own(path); err != nil {
			return nil, err
		}
	}
	p := &Pooler{DatabaseURL: fmt.Sprintf("postgres://%s@/%s?host=%s&port=6432", url.PathEscape(behind.User), url.PathEscape(behind.Database), dir)}
	p.Server = &Server{
		launch: func() (*process, error) {
			return s.spawn("pgbouncer", syscall.SIGKILL, filepath.Join(bin, "pgbouncer"), conf)
		},
		answers: func(ctx context.Context) error { return answersThrough(ctx, p.DatabaseURL) },
	}
	return p, p.try(ctx)
}

func answersThrough(ctx context.Context, databaseURL string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return conn.Ping(ctx)
}
