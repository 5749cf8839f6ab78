package repo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// safeBuffer is for a log that background work writes as well.
type safeBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *safeBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.String()
}

func statsOf(t *testing.T, c *repo.Client, key string) usage.Stats {
	t.Helper()
	s, err := c.Usage.GetUsageStats(t.Context(), usage.StatsQuery{
		APIKeyID: key, StartDate: time.Now().Add(-time.Hour), EndDate: time.Now().Add(time.Hour), Granularity: usage.Month,
	}).Get()
	require.NoError(t, err)
	return s
}

// Both ways of recording go through the journal; PostgreSQL is out of reach
// meanwhile, and Close says what remains for the next process.
func TestWriteBehind(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	direct := cfg
	cfg.UsageWrites, cfg.OpTimeout = repo.WriteBehind, 500*time.Millisecond
	proxy, url := faultproxy.Postgres(t, cfg.DatabaseURL)
	cfg.DatabaseURL = url
	c, err := repo.Open(t.Context(), cfg)
	require.NoError(t, err)
	k, err := c.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n"}).Get()
	require.NoError(t, err)
	record := usage.Record{
		APIKeyID: k.ID, AccountType: "claude", Model: "m", InputTokens: 1, OutputTokens: 2, TotalTokens: 3, RequestCount: 1, RequestID: "req",
	}
	require.NoError(t, c.Usage.RecordUsage(t.Context(), record).Err())
	require.Eventually(t, func() bool { return statsOf(t, c, k.ID).OldestUnflushedMs == 0 }, time.Minute, time.Millisecond)
	require.EqualValues(t, 1, statsOf(t, c, k.ID).Summary.TotalRequests)

	proxy.Cut()
	require.NoError(t, c.Usage.RecordUsage(t.Context(), record).Err())
	used := apikeys.UsageData{Model: "m", InputTokens: 1, OutputTokens: 2, RequestCount: 1}
	require.NoError(t, c.APIKeys.RecordAPIKeyUsage(t.Context(), k.ID, used).Err())
	require.Eventually(t, func() bool {
		h, err := c.Usage.JournalHealth(t.Context())
		return err == nil && h.Unflushed == 2
	}, time.Minute, time.Millisecond)
	closing, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err = c.Close(closing)
	require.Error(t, err)
	require.EqualValues(t, 2, result.From(err).Details["remaining"])

	through := testclient.Open(t, direct)
	require.EqualValues(t, 1, statsOf(t, through, k.ID).Summary.TotalRequests)
	_, err = through.Usage.JournalHealth(t.Context())
	require.ErrorIs(t, err, result.InvalidQuery)
	direct.UsageWrites = repo.WriteBehind
	next := testclient.Open(t, direct)
	require.Eventually(t, func() bool { return statsOf(t, next, k.ID).Summary.TotalRequests == 2 }, 2*time.Minute, time.Millisecond)
}

func TestStatsTellWhatIsNotFlushed(t *testing.T) {
	t.Parallel()
	for ms, want := range map[int64]string{0: `{"stats":null`, 12: `"oldestUnflushedMs":12`, -1: `"oldestUnflushedMs":-1`} {
		doc, err := json.Marshal(usage.Stats{OldestUnflushedMs: ms})
		require.NoError(t, err)
		require.Contains(t, string(doc), want)
		require.Equal(t, ms != 0, strings.Contains(string(doc), "oldestUnflushedMs"))
	}
}

func TestOpenWarnsOfTheJournalsRedis(t *testing.T) {
	t.Parallel()
	stack, err := devstack.Start(t.Context(), devstack.Options{SkipPostgres: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stack.Close()) })
	opt, err := rueidis.ParseURL(stack.RedisURL)
	require.NoError(t, err)
	redis, err := rueidis.NewClient(opt)
	require.NoError(t, err)
	t.Cleanup(redis.Close)
	require.NoError(t, redis.Do(t.Context(), redis.B().Arbitrary("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "appendonly", "no").Build()).Error())
	cfg := testclient.Config(t)
	cfg.RedisURL = stack.RedisURL
	log := &safeBuffer{}
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	testclient.Open(t, cfg)
	require.NotContains(t, log.text(), "journal", "write_through has none")
	cfg.UsageWrites = repo.WriteBehind
	testclient.Open(t, cfg)
	require.Equal(t, 1, strings.Count(log.text(), "the journal's Redis may lose acknowledged usage"))
	require.Contains(t, log.text(), "allkeys-lru")
}

func TestOpenWriteBehindWithoutRedis(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	cfg.UsageWrites, cfg.RedisURL = repo.WriteBehind, "redis://user:hunter2@127.0.0.1:1/0"
	_, err := repo.Open(t.Context(), cfg)
	require.ErrorIs(t, err, result.CacheError)
	requireClean(t, err)
	log := &safeBuffer{}
	cfg.RequireRedis, cfg.Logger = false, slog.New(slog.NewTextHandler(log, nil))
	c := testclient.Open(t, cfg)
	k, err := c.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n"}).Get()
	require.NoError(t, err)
	record := usage.Record{APIKeyID: k.ID, AccountType: "claude", Model: "m", TotalTokens: 3, RequestCount: 1}
	require.NoError(t, c.Usage.RecordUsage(t.Context(), record).Err())
	s := statsOf(t, c, k.ID)
	require.EqualValues(t, 1, s.Summary.TotalRequests)
	require.EqualValues(t, -1, s.OldestUnflushedMs)
	require.NotContains(t, log.text(), "hunter2")
}

// The journal's keys stand under the prefix.
func TestJournalsName(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	cfg.UsageWrites = repo.WriteBehind
	testclient.Open(t, cfg)
	redis := testdb.Redis(t)
	require.Eventually(t, func() bool {
		kind, err := redis.Do(t.Context(), redis.B().Type().Key(cfg.KeyPrefix+"{journal}:usage").Build()).ToString()
		return err == nil && kind == "stream"
	}, time.Minute, time.Millisecond)
}
