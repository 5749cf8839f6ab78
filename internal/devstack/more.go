package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Nothing is on disk: a killed one comes back empty.
const moreConf = `
bind 127.0.0.1
port %d
requirepass %s
masterauth %s
dir %s
appendonly no
save ""
repl-diskless-sync-delay 0
daemonize no
`

var errNoRedis = errors.New("devstack: a stack that skips Redis has no other either")

// Redis is a further Redis of a stack, or a Sentinel, for tests of what follows when
// one dies. It keeps its data in memory only and ends with the stack.
type Redis struct {
	// Port of 127.0.0.1.
	Port int

	stack    *Stack
	password string
	name     string
	args     []string
	lines    []string
	now      *process
}

// AddRedis starts one more Redis, with further lines of configuration. Its password
// is the first one's, which it also shows a master of its own.
func (s *Stack) AddRedis(ctx context.Context, lines ...string) (*Redis, error) {
	return s.addRedis(ctx, "redis", nil, lines)
}

// AddSentinel starts a Sentinel with the same password.
func (s *Stack) AddSentinel(ctx context.Context, lines ...string) (*Redis, error) {
	return s.addRedis(ctx, "sentinel", []string{"--sentinel"}, lines)
}

func (s *Stack) addRedis(ctx context.Context, kind string, args, lines []string) (r *Redis, err error) {
	first, err := url.Parse(s.RedisURL)
	if err != nil || first.User == nil {
		return nil, errNoRedis
	}
	password, _ := first.User.Password()
	for range redisTries {
		r = &Redis{stack: s, password: password, args: args, lines: lines}
		if r.Port, err = freePort(ctx); err != nil {
			return nil, err
		}
		r.name = kind + "-" + strconv.Itoa(r.Port)
		if err = r.Start(ctx); err == nil {
			return r, nil
		}
	}
	return nil, err
}

// Start starts it again, empty, after Kill.
func (r *Redis) Start(ctx context.Context) error {
	dir := filepath.Join(r.stack.Dir, r.name)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	conf := filepath.Join(dir, "redis.conf")
	text := fmt.Sprintf(moreConf, r.Port, r.password, r.password, strconv.Quote(dir)) + strings.Join(r.lines, "\n") + "\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return err
	}
	if err := errors.Join(r.stack.account.own(dir), r.stack.account.own(conf)); err != nil {
		return err
	}
	p, err := r.stack.spawn(r.name, syscall.SIGKILL, r.stack.programs.redis, append([]string{conf}, r.args...)...)
	if err != nil {
		return err
	}
	r.now = p
	return p.ready(ctx, func(ctx context.Context) error { return pingRedis(ctx, r.Port, r.password) })
}

// Kill ends it at once, and waits until it has ended.
func (r *Redis) Kill() {
	r.now.signal()
	r.now.wait()
}

// PID of the running process.
func (r *Redis) PID() int { return r.now.cmd.Process.Pid }

// Addr is its host:port.
func (r *Redis) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.Port)) }

// URL is its address with the password.
func (r *Redis) URL() string { return fmt.Sprintf("redis://default:%s@%s/0", r.password, r.Addr()) }
