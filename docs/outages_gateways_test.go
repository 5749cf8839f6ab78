package docs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/sessions"
	"github.com/seed14a526e0/relaystore/strategy"
)

// The ways to store data whose outages are tested, each with a database of its own.
const (
	byDefault     = "by_default"
	writtenBehind = "written_behind" // usage, with the defaults of the others
	databaseFirst = "database_first"
	notCached     = "not_cached"
	onRedis       = "on_redis"
)

var stored = map[string]map[strategy.DataType]strategy.Config{
	byDefault:     nil,
	writtenBehind: nil,
	databaseFirst: keysAnd(strategy.Config{
		PrimaryStorage: strategy.PrimaryPostgres, EnableCache: true, CacheTTL: time.Minute, ReadStrategy: strategy.DatabaseFirst, WriteStrategy: strategy.WriteAround,
	}),
	notCached: keysAnd(strategy.Config{
		PrimaryStorage: strategy.PrimaryPostgres, ReadStrategy: strategy.DatabaseFirst, WriteStrategy: strategy.WriteThrough,
	}),
	onRedis: keysAnd(primaryRedis, strategy.Usage),
}

var primaryRedis = strategy.Config{PrimaryStorage: strategy.PrimaryRedis, ReadStrategy: strategy.DatabaseFirst, WriteStrategy: strategy.WriteThrough}

// keysAnd stores keys, accounts and sessions in the same way, and other types.
func keysAnd(c strategy.Config, others ...strategy.DataType) map[strategy.DataType]strategy.Config {
	of := make(map[strategy.DataType]strategy.Config)
	for _, t := range append(others, strategy.APIKey, strategy.Account, strategy.Session) {
		of[t] = c
	}
	return of
}

const (
	staleness = 4 * time.Second
	opTimeout = 2 * time.Second
)

// gateway is a client of one way, with what it asks for.
type gateway struct {
	*repo.Client

	way                       string
	direct, proxied           *repo.Client
	key, account, token, hash string
	changing, busy            string      // a key and an account that writes change
	freshHash                 string      // of a key that it has never asked for
	config, through           repo.Config // of another process, directly and past the proxies
}

func openGateway(t *testing.T, s *servers, way string) *gateway {
	t.Helper()
	cfg := repo.Config{
		RedisURL: s.redis.RedisURL, KeyPrefix: way + ":", MaxConns: 16, LegacyEncryptionKey: "an encryption key of 32 letters!",
		MaxStaleness: staleness, OpTimeout: opTimeout, TxTimeout: 2 * opTimeout, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if way == writtenBehind {
		cfg.UsageWrites = repo.WriteBehind
	}
	var err error
	cfg.Keyset, err = seal.Generate()
	require.NoError(t, err)
	var proxied string
	cfg.DatabaseURL, proxied = s.database(t, way)
	g := &gateway{way: way, direct: testclient.Open(t, cfg)}
	for dataType, c := range stored[way] {
		require.NoError(t, g.direct.Storage.SwitchStorageStrategy(t.Context(), dataType, c).Err())
	}
	through := cfg
	through.DatabaseURL, through.RedisURL, through.OpTimeout = proxied, s.proxiedRedis, time.Minute
	g.proxied = testclient.Open(t, through)
	g.config, g.through = cfg, through
	g.config.ConnectTimeout = opTimeout
	g.fill(t)
	return g
}

// fill makes what it asks for.
func (g *gateway) fill(t *testing.T) {
	t.Helper()
	k, err := g.direct.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "k"}).Get()
	require.NoError(t, err)
	changing, err := g.direct.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "changing"}).Get()
	require.NoError(t, err)
	oauth := &accounts.OAuthData{AccessToken: "a", RefreshToken: "r", Scopes: []string{"s"}, ExpiresAt: time.Now().Add(time.Hour)}
	a, err := g.direct.Accounts.CreateClaudeAccount(t.Context(), accounts.AccountData{Name: "a", OAuthData: oauth}).Get()
	require.NoError(t, err)
	busy, err := g.direct.Accounts.CreateAccount(t.Context(), accounts.AccountData{Name: "busy", Platform: accounts.Claude}).Get()
	require.NoError(t, err)
	session, err := g.direct.Sessions.CreateSession(t.Context(), sessions.Data{UserID: "u", UserType: sessions.User, SessionData: json.RawMessage("{}")}).Get()
	require.NoError(t, err)
	g.key, g.hash, g.account, g.token = k.ID, k.HashedKey, a.ID, session.SessionToken
	g.changing, g.busy = changing.ID, busy.ID
}

// begin lets everything work, on the way that can be slow or the direct one.
func (g *gateway) begin(ctx context.Context, slow bool) error {
	g.Client = g.direct
	if slow {
		g.Client = g.proxied
	}
	k, err := g.direct.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{Name: "fresh"}).Get()
	if err != nil {
		return err
	}
	g.freshHash = k.HashedKey
	return g.works(ctx)
}

// works waits until everything answers.
func (g *gateway) works(ctx context.Context) error {
	for _, c := range slices.Concat(g.reads(), g.lists(), g.record(), g.figures(), g.writes(), g.transactions(), g.cached()) {
		if err := eventually(func() error { return c.do(ctx) }); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// caches waits until what can be is cached, and fresh for a while.
func (g *gateway) caches(ctx context.Context) error {
	for range 3 { // a push of what others have written can keep an answer out of the table
		if err := g.becomes(ctx, func(beat time.Duration) bool { return beat >= 0 && beat < staleness/2 }); err != nil {
			return err
		}
		for _, c := range g.cached() {
			if err := c.do(ctx); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

var errHeartbeat = errors.New("the heartbeat's age is another one")

// becomes waits for an age of the heartbeat, below 0 where there is none.
func (g *gateway) becomes(ctx context.Context, ok func(time.Duration) bool) error {
	return eventually(func() error {
		h, err := g.Storage.GetStorageHealth(ctx)
		if err == nil && !ok(h.Redis.HeartbeatAge) {
			err = errHeartbeat
		}
		return err
	})
}

// eventually calls f until it succeeds, for a minute, and gives its last error.
func eventually(f func() error) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for late := time.Now().Add(time.Minute); ; <-tick.C {
		if err := f(); err == nil || time.Now().After(late) {
			return err
		}
	}
}
