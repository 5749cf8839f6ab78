package storage_test

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/storage"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/schema"
)

func behind(c *repo.Config) { c.UsageWrites = repo.WriteBehind }

// Each figure is compared with what the servers themselves say.
func TestHealth(t *testing.T) {
	t.Parallel()
	p := servers(t, behind)
	p.becomes(func(h storage.Health) bool { return h.Redis.HeartbeatAge >= 0 })
	h := p.health()
	versions := schema.Versions()
	require.True(t, h.Postgres.Connected && h.Redis.Configured && h.Redis.Connected)
	require.Positive(t, h.Postgres.Latency)
	require.Positive(t, h.Redis.Latency)
	require.Equal(t, versions[len(versions)-1], h.Postgres.SchemaVersion)
	require.Equal(t, 4, h.Postgres.Pool.Max)
	require.Positive(t, h.Postgres.Pool.Total)
	require.LessOrEqual(t, h.Postgres.Pool.Idle, h.Postgres.Pool.Total)
	require.Zero(t, h.Redis.Memory.Max)
	require.Equal(t, []string{"always", "noeviction"}, []string{h.Redis.Persistence, h.Redis.EvictionPolicy})
	require.Equal(t, &storage.JournalHealth{Appending: true}, h.Redis.Journal)
	require.Less(t, h.Redis.HeartbeatAge, patience)

	p.set("maxmemory", "64mb")
	p.set("maxmemory-policy", "allkeys-lru")
	p.set("appendonly", "no")
	h = p.health()
	require.EqualValues(t, 64<<20, h.Redis.Memory.Max)
	require.Equal(t, []string{"nothing", "allkeys-lru"}, []string{h.Redis.Persistence, h.Redis.EvictionPolicy})
	const added = 8 << 20
	before := h.Redis.Memory.Used
	require.NoError(t, p.redis.Do(t.Context(), p.redis.B().Set().Key("large").Value(strings.Repeat("x", added)).Build()).Error())
	require.Greater(t, p.health().Redis.Memory.Used, before+added/2)
	require.Less(t, p.health().Redis.Memory.Used, int64(64<<20))
}

// PostgreSQL is away while records come: they wait in the journal, and its age grows.
func TestHealthOfTheJournal(t *testing.T) {
	t.Parallel()
	p := servers(t, behind)
	k, err := p.client.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n"}).Get()
	require.NoError(t, err)
	record := usage.Record{APIKeyID: k.ID, AccountType: "claude", Model: "m", TotalTokens: 3, RequestCount: 1}
	require.NoError(t, p.client.Usage.RecordUsage(t.Context(), record).Err()) // the key is known now
	p.becomes(func(h storage.Health) bool { return h.Redis.Journal.Length == 0 })
	p.postgres.Cut()
	for range 3 {
		require.NoError(t, p.client.Usage.RecordUsage(t.Context(), record).Err())
	}
	p.becomes(func(h storage.Health) bool {
		return h.Redis.Journal.Length == 3 && h.Redis.Journal.Age > time.Millisecond
	})
	age := p.health().Redis.Journal.Age
	p.becomes(func(h storage.Health) bool { return h.Redis.Journal.Age > age })
	p.postgres.Pass()
	p.becomes(func(h storage.Health) bool { return h.Redis.Journal.Length == 0 && h.Redis.Journal.Age == 0 })
}

// Both servers take every byte and answer none, on old connections and on new ones.
func TestHealthOfServersThatHang(t *testing.T) {
	t.Parallel()
	p := servers(t, behind)
	p.becomes(func(h storage.Health) bool { return h.Redis.HeartbeatAge >= 0 })
	p.postgres.Stall()
	require.NoError(t, p.stack.Redis.Pause())
	t.Cleanup(func() { require.NoError(t, p.stack.Redis.Resume()) })
	for range 3 { // the pool and the breakers get to know
		h := p.health()
		require.False(t, h.Postgres.Connected || h.Redis.Connected)
		require.Less(t, max(h.Postgres.Latency, h.Redis.Latency), 3*storage.HealthTimeout) // no other time-out is as short
		require.Negative(t, h.Postgres.OutboxLag)
		require.Zero(t, h.Postgres.SchemaVersion)
		require.Equal(t, storage.Memory{Used: -1, Max: -1}, h.Redis.Memory)
		require.Equal(t, "unknown", h.Redis.Persistence)
		require.EqualValues(t, -1, h.Redis.Journal.Length)
		require.NotContains(t, document(t, h), "schemaVersion")
	}
	require.NoError(t, p.stack.Redis.Resume())
	p.postgres.Pass()
	p.becomes(func(h storage.Health) bool { return h.Postgres.Connected && h.Redis.Connected })
}

// The one that hangs does not hide the other.
func TestHealthOfOneThatHangs(t *testing.T) {
	t.Parallel()
	p := servers(t, behind)
	p.postgres.Stall()
	h := p.health()
	require.True(t, h.Redis.Connected && !h.Postgres.Connected)
	p.postgres.Pass()
	require.NoError(t, p.stack.Redis.Pause())
	t.Cleanup(func() { require.NoError(t, p.stack.Redis.Resume()) })
	p.becomes(func(h storage.Health) bool { return h.Postgres.Connected && !h.Redis.Connected })
	process := p.client.Monitoring.Process(t.Context())
	require.Nil(t, process.Journal)
	require.NotNil(t, process.Outbox, "what Redis is to be told counts most now")
}

func TestHealthOfServersThatDied(t *testing.T) {
	t.Parallel()
	p := servers(t)
	p.stack.Postgres.Kill(syscall.SIGQUIT)
	p.stack.Redis.Kill(syscall.SIGKILL)
	p.becomes(func(h storage.Health) bool { return !h.Postgres.Connected && !h.Redis.Connected })
	require.NoError(t, p.stack.Postgres.Start(t.Context()))
	require.NoError(t, p.stack.Redis.Start(t.Context()))
	p.becomes(func(h storage.Health) bool { return h.Postgres.Connected && h.Redis.Connected })
}

// A change waits while Redis is away, and has been told when the lag is gone.
func TestHealthOfTheOutbox(t *testing.T) {
	t.Parallel()
	p := servers(t)
	p.becomes(func(h storage.Health) bool { return h.Redis.HeartbeatAge >= 0 && h.Postgres.OutboxLag == 0 })
	require.NoError(t, p.stack.Redis.Pause())
	t.Cleanup(func() { require.NoError(t, p.stack.Redis.Resume()) })
	pool := testdb.Pool(t, p.stack.DatabaseURL)
	_, err := pool.Exec(t.Context(), "INSERT INTO api_keys (id, hashed_key, name, created_at, updated_at) VALUES (gen_random_uuid(), sha256('k'), 'n', now(), now())")
	require.NoError(t, err)
	lag := p.health().Postgres.OutboxLag
	require.Positive(t, lag)
	age := p.health().Redis.HeartbeatAge
	p.becomes(func(h storage.Health) bool {
		return h.Postgres.OutboxLag > lag && (h.Redis.HeartbeatAge > age || h.Redis.HeartbeatAge < 0)
	})
	require.NoError(t, p.stack.Redis.Resume())
	p.becomes(func(h storage.Health) bool { return h.Postgres.OutboxLag == 0 })
}

// A pool whose connections are all busy has calls that wait, and a PostgreSQL that
// answers: where the pool's maker looks up how to connect each time, by that, too.
func TestHealthOfAFullPool(t *testing.T) {
	t.Parallel()
	pc, err := pgxpool.ParseConfig(testdb.URL(t))
	require.NoError(t, err)
	database := pc.ConnConfig.Database
	pc.ConnConfig.Database, pc.MaxConns = "of yesterday", 4
	pc.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error { c.Database = database; return nil }
	cfg := testclient.Config(t)
	cfg.DatabaseURL, cfg.MaxConns = "", 0
	cfg.Pool, err = pgxpool.NewWithConfig(t.Context(), pc)
	require.NoError(t, err)
	t.Cleanup(cfg.Pool.Close)
	client := testclient.Open(t, cfg)
	held := int(cfg.Pool.Config().MaxConns)
	for range held {
		conn, err := cfg.Pool.Acquire(t.Context())
		require.NoError(t, err)
		t.Cleanup(conn.Release)
	}
	waiting, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- client.APIKeys.GetAllAPIKeys(waiting, apikeys.Filters{}).Err() }()
	eventually(t, func() bool {
		h, err := client.Storage.GetStorageHealth(t.Context())
		require.NoError(t, err)
		require.True(t, h.Postgres.Connected)
		require.Equal(t, held, h.Postgres.Pool.Total)
		require.Zero(t, h.Postgres.Pool.Idle)
		return h.Postgres.Pool.Waiting > 0
	})
	leave()
	require.ErrorIs(t, <-left, result.Cancelled)
}

func TestHealthWithoutRedis(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	cfg.RedisURL, cfg.RequireRedis = "", false
	h, err := testclient.Open(t, cfg).Storage.GetStorageHealth(t.Context())
	require.NoError(t, err)
	require.True(t, h.Postgres.Connected)
	require.Equal(t, storage.RedisHealth{
		Memory: storage.Memory{Used: -1, Max: -1}, Persistence: "unknown", EvictionPolicy: "unknown", HeartbeatAge: -1,
	}, h.Redis)
}

func TestHealthForACallerWhoLeft(t *testing.T) {
	t.Parallel()
	client := testclient.Open(t, testclient.Config(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := client.Storage.GetStorageHealth(ctx)
	require.ErrorIs(t, err, result.Cancelled)
}

func TestHealthAsJSON(t *testing.T) {
	t.Parallel()
	h := storage.Health{
		Postgres: storage.PostgresHealth{Connected: true, Latency: 1234567, Pool: storage.PoolStatus{Total: 3, Idle: 2, Waiting: 1, Max: 4}, OutboxLag: 1500 * time.Microsecond, SchemaVersion: 8},
		Redis: storage.RedisHealth{
			Configured: true, Memory: storage.Memory{Used: 1, Max: 0}, Persistence: "always", EvictionPolicy: "noeviction", HeartbeatAge: -1,
			Journal: &storage.JournalHealth{Appending: true, Length: 2, Refused: 1, Age: time.Second, Replicas: 1},
		},
	}
	require.JSONEq(t, `{
		"postgres": {"connected": true, "latency": 1.234, "poolStatus": {"total": 3, "idle": 2, "waiting": 1, "max": 4}, "outboxLag": 1.5, "schemaVersion": 8},
		"redis": {"configured": true, "connected": false, "latency": 0, "memory": {"used": 1, "max": 0}, "persistence": "always", "evictionPolicy": "noeviction",
			"journal": {"appending": true, "length": 2, "age": 1000, "refused": 1, "replicas": 1}}
	}`, document(t, h))
}
