package storage_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/strategy"
)

// off is what switches the cache of a data type off.
var off = strategy.Config{PrimaryStorage: strategy.PrimaryPostgres, ReadStrategy: strategy.DatabaseFirst, WriteStrategy: strategy.WriteThrough}

func state(t *testing.T, c *repo.Client, dataType strategy.DataType) strategy.State {
	t.Helper()
	s, err := c.Storage.GetStorageConfig(dataType)
	require.NoError(t, err)
	return s
}

func stored(t *testing.T, pool *pgxpool.Pool) (n int) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM storage_strategies").Scan(&n))
	return n
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	client := testclient.Open(t, cfg)
	for _, dataType := range strategy.DataTypes {
		want := strategy.Default(dataType, false)
		require.Equal(t, strategy.State{Config: want, Effective: want}, state(t, client, dataType))
	}
	cfg.UsageWrites = repo.WriteBehind
	require.Equal(t, strategy.WriteBehind, state(t, testclient.Open(t, cfg), strategy.Usage).Effective.WriteStrategy)
	cfg.UsageWrites, cfg.RedisURL, cfg.RequireRedis = "", "", false
	alone := state(t, testclient.Open(t, cfg), strategy.Session)
	require.True(t, alone.EnableCache)
	require.Equal(t, []any{false, strategy.DatabaseFirst}, []any{alone.Effective.EnableCache, alone.Effective.ReadStrategy})
	require.Contains(t, document(t, alone), `"effective":{"primaryStorage":"postgres","enableCache":false`)
	_, err := client.Storage.GetStorageConfig("limits")
	require.Equal(t, "dataType", result.From(err).Field())
}

func TestSwitch(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	one, two := testclient.Open(t, cfg), testclient.Open(t, cfg)
	s := one.Storage.SwitchStorageStrategy(t.Context(), strategy.APIKey, off)
	require.NoError(t, s.Err())
	require.Equal(t, strategy.Default(strategy.APIKey, false), s.Previous)
	require.EqualValues(t, 1, s.Epoch)
	require.Equal(t, strategy.State{Config: off, Epoch: 1, Effective: off}, state(t, one, strategy.APIKey), "the caller's process follows at once")
	eventually(t, func() bool { return state(t, two, strategy.APIKey) == state(t, one, strategy.APIKey) })

	again := two.Storage.SwitchStorageStrategy(t.Context(), strategy.APIKey, off)
	require.NoError(t, again.Err())
	require.Equal(t, off, again.Previous)
	require.EqualValues(t, 1, again.Epoch, "nothing has changed")
	require.Equal(t, strategy.Default(strategy.Session, false), state(t, two, strategy.Session).Config, "the others stay")

	back := two.Storage.SwitchStorageStrategy(t.Context(), strategy.APIKey, strategy.Default(strategy.APIKey, false))
	require.NoError(t, back.Err())
	require.EqualValues(t, 2, back.Epoch)
	eventually(t, func() bool { return state(t, one, strategy.APIKey).Epoch == 2 })
	require.EqualValues(t, 2, state(t, testclient.Open(t, cfg), strategy.APIKey).Epoch, "a new process begins so")
}

func TestRefusedSwitchesWriteNothing(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	client, pool := testclient.Open(t, cfg), testdb.Pool(t, cfg.DatabaseURL)
	redis := strategy.Default(strategy.Session, false)
	redis.PrimaryStorage = strategy.PrimaryRedis
	s := client.Storage.SwitchStorageStrategy(t.Context(), strategy.Session, redis)
	require.ErrorIs(t, s.Err(), result.InvalidQuery)
	require.JSONEq(t, `{"success": false, "error": `+document(t, result.From(s.Err()).Message)+`, "code": "DB_INVALID_QUERY", "details": {"field": "enableCache"},
		"previousStrategy": {"primaryStorage": "postgres", "enableCache": true, "cacheTTL": 600, "readStrategy": "cache_first", "writeStrategy": "write_around"}}`, document(t, s))
	require.Error(t, client.Storage.SwitchStorageStrategy(t.Context(), "limits", off).Err())
	behindUsage := strategy.Default(strategy.Usage, true)
	require.Equal(t, "writeStrategy", result.From(client.Storage.SwitchStorageStrategy(t.Context(), strategy.Usage, behindUsage).Err()).Field())
	require.Zero(t, stored(t, pool))
	require.Zero(t, state(t, client, strategy.Session).Epoch)
}

// Each of many switches at once has the one before it as its previous.
func TestSwitchesTakeTurns(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	clients := []*repo.Client{testclient.Open(t, cfg), testclient.Open(t, cfg)}
	const switches = 10
	results := make([]strategy.SwitchResult, switches)
	var running sync.WaitGroup
	ttl := func(i int) strategy.Config {
		c := strategy.Default(strategy.Account, false)
		c.CacheTTL = time.Duration(i+1) * time.Second
		return c
	}
	for i := range switches {
		running.Go(func() {
			results[i] = clients[i%2].Storage.SwitchStorageStrategy(t.Context(), strategy.Account, ttl(i))
		})
	}
	running.Wait()
	byEpoch := make(map[int64]int)
	for i, r := range results {
		require.NoError(t, r.Err())
		byEpoch[r.Epoch] = i
	}
	require.Len(t, byEpoch, switches)
	for epoch := int64(2); epoch <= switches; epoch++ {
		require.Equal(t, ttl(byEpoch[epoch-1]), results[byEpoch[epoch]].Previous)
	}
	for _, c := range clients {
		eventually(t, func() bool { return state(t, c, strategy.Account).Config == ttl(byEpoch[switches]) })
	}
}

// By hand, too, and without a raised epoch.
func TestSwitchByHand(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	client, pool := testclient.Open(t, cfg), testdb.Pool(t, cfg.DatabaseURL)
	require.NoError(t, client.Storage.SwitchStorageStrategy(t.Context(), strategy.APIKey, off).Err())
	_, err := pool.Exec(t.Context(), "UPDATE storage_strategies SET enable_cache = true, cache_ttl = 60, read_strategy = 'cache_first', write_strategy = 'write_around'")
	require.NoError(t, err)
	eventually(t, func() bool { return state(t, client, strategy.APIKey).EnableCache })
	_, err = pool.Exec(t.Context(), "DELETE FROM storage_strategies WHERE data_type = 'apikey'")
	require.NoError(t, err)
	eventually(t, func() bool { return state(t, client, strategy.APIKey).Epoch == 0 })
	_, err = pool.Exec(t.Context(), "INSERT INTO storage_strategies VALUES ('apikey', 'redis', true, 60, 'cache_first', 'write_around', 1)")
	require.Error(t, err, "no process of this version could follow")
}

// silent is a connection whose changes fire no triggers: only who asks the primary sees
// them.
func silent(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	_, err = conn.Exec(t.Context(), "SET session_replication_role = replica")
	require.NoError(t, err)
	return conn
}

// A cache that is off is not asked, nor is Redis filled; on again, it is.
func TestCacheOffAndOn(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	client, conn := testclient.Open(t, cfg), silent(t, cfg.DatabaseURL)
	k, err := client.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n"}).Get()
	require.NoError(t, err)
	put := func(limit int) {
		_, err := conn.Exec(t.Context(), "UPDATE api_keys SET concurrency_limit = $2 WHERE id = $1", k.ID, limit)
		require.NoError(t, err)
	}
	limit := func() int64 {
		v, err := client.APIKeys.ValidatePlaintext(t.Context(), k.APIKey).Get()
		require.NoError(t, err)
		return v.RateLimits.Concurrency
	}
	cached := func(from int) { // once it has a limit, the cache does not hear of another one
		eventually(t, func() bool {
			put(from)
			first := limit()
			put(from + 1)
			return limit() == first
		})
	}
	cached(1)
	require.NoError(t, client.Storage.SwitchStorageStrategy(t.Context(), strategy.APIKey, off).Err())
	for _, now := range []int{3, 4} {
		put(now)
		require.EqualValues(t, now, limit())
	}
	require.NoError(t, client.Storage.SwitchStorageStrategy(t.Context(), strategy.APIKey, strategy.Default(strategy.APIKey, false)).Err())
	cached(5)
}

// A primary that is asked first is asked each time, and the cache stands in while it is
// down.
func TestPrimaryFirst(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	conn := silent(t, cfg.DatabaseURL)
	var proxy *faultproxy.Proxy
	proxy, cfg.DatabaseURL = faultproxy.Postgres(t, cfg.DatabaseURL)
	cfg.StaleIfError = time.Minute
	client := testclient.Open(t, cfg)
	k, err := client.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n"}).Get()
	require.NoError(t, err)
	c := strategy.Default(strategy.APIKey, false)
	c.ReadStrategy = strategy.DatabaseFirst
	require.NoError(t, client.Storage.SwitchStorageStrategy(t.Context(), strategy.APIKey, c).Err())
	limit := func() int64 {
		v, err := client.APIKeys.ValidatePlaintext(t.Context(), k.APIKey).Get()
		require.NoError(t, err)
		return v.RateLimits.Concurrency
	}
	var now int64
	ask := func() {
		now++
		_, err := conn.Exec(t.Context(), "UPDATE api_keys SET concurrency_limit = $2 WHERE id = $1", k.ID, now)
		require.NoError(t, err)
		require.Equal(t, now, limit())
	}
	eventually(t, func() bool {
		h, err := client.Storage.GetStorageHealth(t.Context())
		require.NoError(t, err)
		return h.Redis.HeartbeatAge >= 0
	})
	ask()
	ask()
	proxy.Cut()
	require.Equal(t, now, limit())
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.Error(t, client.APIKeys.GetAPIKey(short, k.ID).Err(), "it is down")
	proxy.Pass()
	eventually(t, func() bool { return client.APIKeys.GetAPIKey(t.Context(), k.ID).Err() == nil })
	_, err = conn.Exec(t.Context(), "UPDATE api_keys SET concurrency_limit = 1000 WHERE id = $1", k.ID)
	require.NoError(t, err)
	eventually(t, func() bool { return limit() == 1000 })
}

// The second process is the first to ask for the key once its tombstone has gone.
func TestCacheTTL(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	client, redis := testclient.Open(t, cfg), testdb.Redis(t)
	c := strategy.Default(strategy.APIKey, false)
	c.CacheTTL = 90 * time.Second
	require.NoError(t, client.Storage.SwitchStorageStrategy(t.Context(), strategy.APIKey, c).Err())
	k, err := client.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n"}).Get()
	require.NoError(t, err)
	second := testclient.Open(t, cfg)
	ttl := func() int64 {
		ms, err := redis.Do(t.Context(), redis.B().Pttl().Key(cfg.KeyPrefix+"apikey:"+k.HashedKey).Build()).AsInt64()
		require.NoError(t, err)
		return ms
	}
	eventually(t, func() bool { return ttl() < 0 })
	eventually(t, func() bool {
		require.NoError(t, second.APIKeys.ValidateAPIKey(t.Context(), k.HashedKey).Err())
		return ttl() > 10*time.Second.Milliseconds()
	})
	require.LessOrEqual(t, ttl(), c.CacheTTL.Milliseconds())
}

// A switch turns the journal off and on while records come, and each counts once.
func TestUsageBehindAndThrough(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	cfg.UsageWrites = repo.WriteBehind
	client, other := testclient.Open(t, cfg), testclient.Open(t, cfg)
	k, err := client.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n"}).Get()
	require.NoError(t, err)
	var sent int64
	recordTwice := func() (duplicate bool) {
		r := usage.Record{APIKeyID: k.ID, AccountType: "claude", Model: "m", TotalTokens: 3, RequestCount: 1, RequestID: uuid.NewString()}
		require.NoError(t, other.Usage.RecordUsage(t.Context(), r).Err())
		second := other.Usage.RecordUsage(t.Context(), r)
		require.NoError(t, second.Err())
		sent++
		return second.Duplicate
	}
	for i, through := range []bool{false, true, false, true} {
		c := strategy.Default(strategy.Usage, !through)
		require.NoError(t, client.Storage.SwitchStorageStrategy(t.Context(), strategy.Usage, c).Err(), i)
		eventually(t, func() bool { return recordTwice() == through }) // the journal does not know yet
	}
	eventually(t, func() bool {
		s, err := client.Usage.GetUsageStats(t.Context(), usage.StatsQuery{
			APIKeyID: k.ID, StartDate: time.Now().Add(-time.Hour), EndDate: time.Now().Add(time.Hour), Granularity: usage.Month,
		}).Get()
		require.NoError(t, err)
		require.LessOrEqual(t, s.Summary.TotalRequests, sent)
		return s.Summary.TotalRequests == sent && s.OldestUnflushedMs == 0
	})
	none := cfg
	none.UsageWrites = ""
	require.NoError(t, client.Storage.SwitchStorageStrategy(t.Context(), strategy.Usage, strategy.Default(strategy.Usage, true)).Err())
	without := state(t, testclient.Open(t, none), strategy.Usage)
	require.Equal(t, []strategy.WriteStrategy{strategy.WriteBehind, strategy.WriteThrough}, []strategy.WriteStrategy{without.WriteStrategy, without.Effective.WriteStrategy})
}
