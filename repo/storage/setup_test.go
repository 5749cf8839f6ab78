package storage_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/storage"
	"github.com/seed14a526e0/relaystore/schema"
)

// patience is how long a condition may take to come true.
const patience = time.Minute

// private is a client with servers of its own, PostgreSQL's behind a proxy.
type private struct {
	*testing.T

	stack    *devstack.Stack
	postgres *faultproxy.Proxy
	redis    rueidis.Client
	cfg      repo.Config
	client   *repo.Client
}

func servers(t *testing.T, tune ...func(*repo.Config)) *private {
	t.Helper()
	stack, err := devstack.Start(t.Context(), devstack.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stack.Close()) })
	require.NoError(t, schema.Migrate(t.Context(), stack.DatabaseURL))
	p := &private{T: t, stack: stack, redis: testdb.RedisAt(t, stack.RedisURL)}
	p.cfg = testclient.Config(t)
	p.postgres, p.cfg.DatabaseURL = faultproxy.Postgres(t, stack.DatabaseURL)
	p.cfg.RedisURL, p.cfg.MaxConns = stack.RedisURL, 4
	for _, f := range tune {
		f(&p.cfg)
	}
	p.client, err = repo.Open(t.Context(), p.cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		closing, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.client.Close(closing) // a server may be gone
	})
	return p
}

func (p *private) health() storage.Health {
	p.Helper()
	h, err := p.client.Storage.GetStorageHealth(p.Context())
	require.NoError(p, err)
	return h
}

func (p *private) becomes(want func(storage.Health) bool) {
	p.Helper()
	eventually(p.T, func() bool { return want(p.health()) })
}

func (p *private) set(name, value string) {
	p.Helper()
	require.NoError(p, p.redis.Do(p.Context(), p.redis.B().ConfigSet().ParameterValue().ParameterValue(name, value).Build()).Error())
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, 10*time.Millisecond)
}

func document(t *testing.T, v any) string {
	t.Helper()
	doc, err := json.Marshal(v)
	require.NoError(t, err)
	return string(doc)
}
