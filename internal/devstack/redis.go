package devstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// The password stands in a file, since others can see a command line.
const redisConf = `
bind 127.0.0.1
port %d
requirepass %s
dir %s
%s
save ""
daemonize no
`

const (
	durable = "appendonly yes\nappendfsync always"
	// A dump is loaded only where there is no append-only file.
	undurable = "appendonly no"
)

// redisTries is how often Redis gets another port. Another process can take
// the free port before Redis does; that this was the reason shows in the log
// only, and a needless try costs 50 ms.
const redisTries = 5

var errNotRedis = errors.New("devstack: no answer of the private Redis")

func (s *Stack) startRedis(ctx context.Context, dump string) error {
	if err := s.copyDump(dump); err != nil {
		return err
	}
	password, err := randomHex(16)
	if err != nil {
		return err
	}
	for range redisTries {
		var port int
		if port, err = s.tryRedis(ctx, password, dump != ""); err == nil {
			s.RedisURL = fmt.Sprintf("redis://default:%s@127.0.0.1:%d/0", password, port)
			return nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return err
}

func (s *Stack) tryRedis(ctx context.Context, password string, dumped bool) (int, error) {
	port, err := freePort(ctx)
	if err != nil {
		return 0, &StartError{Server: "redis", Err: err}
	}
	conf, err := s.configureRedis(port, password, dumped)
	if err != nil {
		return 0, &StartError{Server: "redis", Err: err}
	}
	v := &Server{
		launch:  func() (*process, error) { return s.spawn("redis", syscall.SIGKILL, s.programs.redis, conf) },
		answers: func(ctx context.Context) error { return pingRedis(ctx, port, password) },
	}
	if err := v.try(ctx); err != nil {
		return 0, err
	}
	s.Redis = v
	return port, nil
}

func (s *Stack) configureRedis(port int, password string, dumped bool) (string, error) {
	path := filepath.Join(s.Dir, "redis.conf")
	keeps := durable
	if dumped {
		keeps = undurable
	}
	text := fmt.Sprintf(redisConf, port, password, strconv.Quote(redisDir(s.Dir)), keeps)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", err
	}
	return path, s.account.own(path)
}

// copyDump puts a copy of an RDB file where Redis looks for it.
func (s *Stack) copyDump(path string) error {
	if path == "" {
		return nil
	}
	in, err := os.Open(path) //nolint:gosec // its user names it
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	copied := filepath.Join(redisDir(s.Dir), "dump.rdb")
	out, err := os.OpenFile(copied, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // in our own folder
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close(), s.account.own(copied))
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// pingRedis succeeds only for the Redis with our password.
func pingRedis(ctx context.Context, port int, password string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "AUTH %s\r\nPING\r\n", password); err != nil {
		return err
	}
	return expect(bufio.NewReader(conn), "+OK\r\n", "+PONG\r\n")
}

func expect(r *bufio.Reader, lines ...string) error {
	for _, want := range lines {
		got, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if got != want {
			return errNotRedis
		}
	}
	return nil
}
