package apikeys_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const encryptionKey = "CHANGE-THIS-32-CHARACTER-KEY-NOW"

// bundle is a client, its config for a second one, and a look at its tables.
type bundle struct {
	*testing.T

	cfg  repo.Config
	keys *apikeys.Repo
	*repo.Client
	pool *pgxpool.Pool
}

func setup(t *testing.T, change ...func(*repo.Config)) *bundle {
	t.Helper()
	t.Parallel()
	cfg := testclient.Config(t)
	for _, c := range change {
		c(&cfg)
	}
	client := testclient.Open(t, cfg)
	return &bundle{T: t, cfg: cfg, keys: client.APIKeys, Client: client, pool: testdb.Pool(t, cfg.DatabaseURL)}
}

func uncached(c *repo.Config) { c.RedisURL, c.RequireRedis = "", false }

func legacy(c *repo.Config) { c.LegacyEncryptionKey = encryptionKey }

func (b *bundle) create(data apikeys.KeyData) apikeys.Created {
	b.Helper()
	if data.Name == "" {
		data.Name = "test"
	}
	k, err := b.keys.CreateAPIKey(b.ctx(), data).Get()
	require.NoError(b, err)
	return k
}

func (b *bundle) get(id string) apikeys.APIKey {
	b.Helper()
	k, err := b.keys.GetAPIKey(b.ctx(), id).Get()
	require.NoError(b, err)
	return k
}

func (b *bundle) active(hash string) bool {
	b.Helper()
	v, err := b.keys.ValidateAPIKey(b.ctx(), hash).Get()
	require.NoError(b, err)
	return v.IsActive
}

func (b *bundle) count() (n int) {
	b.Helper()
	require.NoError(b, b.pool.QueryRow(b.ctx(), "SELECT count(*) FROM api_keys").Scan(&n))
	return n
}

func (b *bundle) ctx() context.Context { return b.Context() }

func requireField(t testing.TB, err error, code result.Code, field string) {
	t.Helper()
	require.ErrorIs(t, err, code)
	require.Equal(t, field, result.From(err).Field(), err.Error())
}

func jsonOf(t testing.TB, value any) json.RawMessage {
	t.Helper()
	doc, err := json.Marshal(value)
	require.NoError(t, err)
	return doc
}
