package accounts_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// bundle is a client with a keyset, its config for a second one, and a look at its
// tables.
type bundle struct {
	*testing.T

	cfg  repo.Config
	accs *accounts.Repo
	*repo.Client
	pool *pgxpool.Pool
}

func setup(t *testing.T, change ...func(*repo.Config)) *bundle {
	t.Helper()
	t.Parallel()
	cfg := testclient.Config(t)
	var err error
	cfg.Keyset, err = seal.Generate()
	require.NoError(t, err)
	pool := testdb.Pool(t, cfg.DatabaseURL)
	for _, c := range change {
		c(&cfg)
	}
	var types []strategy.DataType
	if cfg.PrimaryRedisURL != "" {
		types = []strategy.DataType{strategy.Account}
	}
	client := testclient.OnRedis(t, cfg, types...)
	return &bundle{T: t, cfg: cfg, accs: client.Accounts, Client: client, pool: pool}
}

func uncached(c *repo.Config) { c.RedisURL, c.RequireRedis = "", false }

func noKeyset(c *repo.Config) { c.Keyset = nil }

// claude is a good Claude account.
func claude() accounts.AccountData {
	return accounts.AccountData{
		Name: "main",
		OAuthData: &accounts.OAuthData{
			AccessToken: "sk-ant-oat01-access", RefreshToken: "sk-ant-ort01-refresh",
			Scopes: []string{"user:inference", "user:profile"}, ExpiresAt: time.Date(2099, 1, 2, 3, 4, 5, 678000000, time.UTC),
		},
		ProxyConfig: &accounts.ProxyConfig{Type: "socks5", Host: "proxy.example", Port: 1080, Username: "u", Password: "proxy-password"},
	}
}

func (b *bundle) create(data accounts.AccountData) string {
	b.Helper()
	created, err := b.accs.CreateAccount(b.ctx(), data).Get()
	require.NoError(b, err)
	return created.ID
}

func (b *bundle) createClaude() string {
	b.Helper()
	data := claude()
	data.Platform = accounts.Claude
	return b.create(data)
}

func (b *bundle) get(id string) accounts.Account {
	b.Helper()
	a, err := b.accs.GetAccount(b.ctx(), id).Get()
	require.NoError(b, err)
	return a
}

func (b *bundle) credentials(id string) accounts.Credentials {
	b.Helper()
	c, err := b.accs.GetCredentials(b.ctx(), id).Get()
	require.NoError(b, err)
	return c
}

func (b *bundle) exec(sql string, args ...any) {
	b.Helper()
	_, err := b.pool.Exec(b.ctx(), sql, args...)
	require.NoError(b, err)
}

func (b *bundle) count(sql string, args ...any) (n int) {
	b.Helper()
	require.NoError(b, b.pool.QueryRow(b.ctx(), sql, args...).Scan(&n))
	return n
}

func (b *bundle) ctx() context.Context { return b.Context() }

func requireField(t testing.TB, err error, code result.Code, field string) {
	t.Helper()
	require.ErrorIs(t, err, code)
	require.Equal(t, field, result.From(err).Field(), err.Error())
}

func marshal(t testing.TB, v any) string {
	t.Helper()
	doc, err := json.Marshal(v)
	require.NoError(t, err)
	return string(doc)
}

var unknownID = uuid.NewString()
