package devstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
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
appendonly yes
appendfsync always
save ""
daemonize no
`

// redisTries is how often Redis gets another port. Another process can take
// the free port before Redis does; that this was the reason shows in the log
// only, and a needless try costs 50 ms.
const redisTries = 5

var errNotRedis = errors.New("devstack: no answer of the private Redis")

func (s *Stack) startRedis(ctx context.Context) error {
	password, err := randomHex(16)
	if err != nil {
		return err
	}
	for range redisTries {
		var port int
		if port, err = s.tryRedis(ctx, password); err == nil {
			s.RedisURL = fmt.Sprintf("redis://default:%s@127.0.0.1:%d/0", password, port)
			return nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return err
}

func (s *Stack) tryRedis(ctx context.Context, password string) (int, error) {
	port, err := freePort(ctx)
	if err != nil {
		return 0, &StartError{Server: "redis", Err: err}
	}
	conf, err := s.configureRedis(port, password)
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

func (s *Stack) configureRedis(port int, password string) (string, error) {
	path := filepath.Join(s.Dir, "redis.conf")
	text := fmt.Sprintf(redisConf, port, password, strconv.Quote(redisDir(s.Dir)))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", err
	}
	return path, s.account.own(path)
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
