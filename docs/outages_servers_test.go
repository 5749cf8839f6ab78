package docs

import (
	"context"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/schema"
)

// servers are a PostgreSQL and a Redis of their own, to be stopped and killed, and the
// ways to them that can be slow.
type servers struct {
	postgres, redis         *devstack.Stack
	slowPostgres, slowRedis *faultproxy.Proxy
	proxiedPostgres         string
	proxiedRedis            string
}

func startServers(t *testing.T) *servers {
	t.Helper()
	s := &servers{}
	var err error
	for stack, o := range map[**devstack.Stack]devstack.Options{&s.postgres: {SkipRedis: true}, &s.redis: {SkipPostgres: true}} {
		*stack, err = devstack.Start(t.Context(), o)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, (*stack).Close()) })
	}
	require.NoError(t, schema.Migrate(t.Context(), s.postgres.DatabaseURL))
	s.slowPostgres, s.proxiedPostgres = faultproxy.Postgres(t, s.postgres.DatabaseURL)
	s.slowRedis, s.proxiedRedis = faultproxy.Redis(t, s.redis.RedisURL)
	return s
}

// database makes a migrated one, and gives it directly and past the proxy.
func (s *servers) database(t *testing.T, name string) (direct, proxied string) {
	t.Helper()
	u, err := url.Parse(s.postgres.DatabaseURL)
	require.NoError(t, err)
	migrated := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	admin, err := pgx.Connect(t.Context(), u.String())
	require.NoError(t, err)
	defer admin.Close(context.Background())
	_, err = admin.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE "+migrated)
	require.NoError(t, err)
	u.Path = "/" + name
	through, err := url.Parse(s.proxiedPostgres)
	require.NoError(t, err)
	through.Path = u.Path
	return u.String(), through.String()
}

// change brings a situation about and gives what ends it.
func (s *servers) change(t *testing.T, name string) (mend func()) {
	t.Helper()
	postgres, redis := !strings.HasPrefix(name, "Redis"), !strings.HasPrefix(name, "PostgreSQL")
	switch {
	case strings.HasSuffix(name, "slow"):
		if postgres {
			s.slowPostgres.Slow(20 * time.Millisecond)
		} else {
			s.slowRedis.Slow(300 * time.Millisecond) // more than the cache waits
		}
		return func() { s.slowPostgres.Pass(); s.slowRedis.Pass() }
	case strings.HasSuffix(name, "stopped"):
		var pids []int
		if redis {
			pids = append(pids, s.redis.PIDs()...)
		}
		if postgres {
			server := s.postgres.PIDs()[0] // its children have groups of their own
			pids = append(append(pids, server), devstack.Children(server)...)
		}
		signal(t, pids, syscall.SIGSTOP)
		return func() { signal(t, pids, syscall.SIGCONT) }
	}
	if redis {
		s.redis.Redis.Kill(syscall.SIGKILL)
	}
	if postgres {
		s.postgres.Postgres.Kill(syscall.SIGKILL)
	}
	return func() {
		require.NoError(t, s.postgres.Postgres.Start(context.Background()))
		require.NoError(t, s.redis.Redis.Start(context.Background()))
	}
}

func signal(t *testing.T, pids []int, sig syscall.Signal) {
	t.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil {
			require.ErrorIs(t, err, syscall.ESRCH)
		}
	}
}
