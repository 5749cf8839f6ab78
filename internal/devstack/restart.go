package devstack

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// restartPause is between tries to start a server: a killed PostgreSQL leaves
// children that hold its memory for some ms.
const restartPause = 50 * time.Millisecond

// Kill sends a signal to the servers that run and returns when they have ended:
// SIGKILL, or SIGQUIT for PostgreSQL's immediate shutdown.
func (s *Stack) Kill(sig syscall.Signal) {
	s.mu.Lock()
	running := slices.Clone(s.servers)
	s.mu.Unlock()
	for _, p := range running {
		_ = p.cmd.Process.Signal(sig) // fails for one that has ended
		<-p.done
	}
}

// Restart starts the servers that have ended again, with the data that they left
// and under their addresses, and returns when they answer.
func (s *Stack) Restart(ctx context.Context) error {
	s.mu.Lock()
	ended := slices.Clone(s.servers)
	s.mu.Unlock()
	ended = slices.DeleteFunc(ended, func(p *process) bool { return !p.ended() || p.name == "initdb" })
	for _, p := range ended {
		if err := s.restart(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stack) restart(ctx context.Context, old *process) error {
	s.mu.Lock()
	s.servers = slices.DeleteFunc(s.servers, func(p *process) bool { return p == old })
	s.mu.Unlock()
	for {
		p, err := s.spawn(old.name, old.stop, old.cmd.Path, old.cmd.Args[1:]...)
		if err != nil {
			return err
		}
		err = p.ready(ctx, s.answers(p.name))
		var start *StartError
		if !errors.As(err, &start) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(restartPause):
		}
	}
}

// answers tells how a server shows that it works.
func (s *Stack) answers(name string) func(context.Context) error {
	if name == "redis" {
		return s.pingRedis
	}
	return func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, s.DatabaseURL)
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	}
}

func (s *Stack) pingRedis(ctx context.Context) error {
	u, err := url.Parse(s.RedisURL)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return err
	}
	password, _ := u.User.Password()
	return pingRedis(ctx, port, password)
}
