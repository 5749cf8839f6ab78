package strategy_test

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/strategy"
)

const patience = time.Minute

// outboxBundle is a database whose outbox nobody drains yet, and a process that
// reads keys' names through a cache.
type outboxBundle struct {
	*testing.T

	pool    *pgxpool.Pool
	options cache.Options
	cache   *cache.Cache
	records *cache.Records[string]
}

func setupOutbox(t *testing.T, change ...func(*cache.Options)) *outboxBundle {
	t.Helper()
	t.Parallel()
	b := &outboxBundle{T: t, pool: testdb.Pool(t, testdb.URL(t))}
	b.options = cache.Options{URL: testdb.RedisURL(t), Prefix: testdb.Prefix(t), MaxStaleness: time.Minute, Require: true, Logger: quiet()}
	for _, c := range change {
		c(&b.options)
	}
	b.cache, b.records = b.process(0)
	return b
}

// process opens one more, which keeps about size records.
func (b *outboxBundle) process(size int) (*cache.Cache, *cache.Records[string]) {
	b.Helper()
	c := b.openCache()
	return c, cache.NewRecords(c, cache.Source[string]{
		Kind: "apikey", Load: b.name, Timeout: time.Minute, Size: size,
		Encode: func(s *string) ([]byte, error) { return []byte(*s), nil },
		Decode: func(doc []byte) (*string, error) { s := string(doc); return &s, nil },
	})
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (b *outboxBundle) openCache() *cache.Cache {
	b.Helper()
	c, err := cache.Open(b.Context(), b.options)
	require.NoError(b, err)
	b.Cleanup(c.Close)
	return c
}

func (b *outboxBundle) primary() *strategy.Postgres {
	return &strategy.Postgres{Pool: b.pool, OpTimeout: time.Minute}
}

// drain starts one more process that drains the outbox.
func (b *outboxBundle) drain() *strategy.Outbox {
	b.Helper()
	o := b.drainer()
	o.Start()
	b.Cleanup(o.Close)
	return o
}

func (b *outboxBundle) drainer() *strategy.Outbox {
	b.Helper()
	return &strategy.Outbox{Primary: b.primary(), Cache: b.openCache(), Listen: b.pool.Config().ConnConfig.Copy(), Logger: quiet()}
}

func (b *outboxBundle) name(ctx context.Context, key *cache.Key) (*string, error) {
	var name string
	err := b.pool.QueryRow(ctx, "SELECT name FROM api_keys WHERE hashed_key = $1 AND deleted_at IS NULL", key[:]).Scan(&name)
	return &name, err
}

func (b *outboxBundle) exec(sql string, args ...any) {
	b.Helper()
	_, err := b.pool.Exec(b.Context(), sql, args...)
	require.NoError(b, err)
}

func (b *outboxBundle) insert(name string) cache.Key {
	b.Helper()
	key := cache.Key(sha256.Sum256([]byte(name)))
	b.exec("INSERT INTO api_keys (id, hashed_key, name, created_at, updated_at) VALUES ($1, $2, $3, now(), now())", uuid.New(), key[:], name)
	return key
}

// cached waits until the process answers from its own table.
func (b *outboxBundle) cached(key cache.Key) string {
	b.Helper()
	var first, second *string
	require.Eventually(b, func() bool {
		var err error
		first, err = b.records.Get(b.Context(), &key, time.Now())
		require.NoError(b, err)
		second, err = b.records.Get(b.Context(), &key, time.Now())
		require.NoError(b, err)
		return first == second
	}, patience, time.Millisecond)
	return *second
}

func (b *outboxBundle) waiting() (n int) {
	b.Helper()
	require.NoError(b, b.pool.QueryRow(b.Context(), "SELECT count(*) FROM cache_outbox").Scan(&n))
	return n
}

func (b *outboxBundle) becomes(key cache.Key, name string) {
	b.Helper()
	require.Eventually(b, func() bool {
		got, err := b.records.Get(b.Context(), &key, time.Now())
		return err == nil && *got == name
	}, patience, time.Millisecond)
}

func TestChangesByHandAreTold(t *testing.T) {
	b := setupOutbox(t)
	b.drain()
	key := b.insert("one")
	require.Equal(t, "one", b.cached(key))
	b.exec("UPDATE api_keys SET name = 'two'")
	b.becomes(key, "two")
	require.Eventually(t, func() bool { return b.waiting() == 0 }, patience, time.Millisecond)
}

func TestManyDrainers(t *testing.T) {
	b := setupOutbox(t)
	for range 3 {
		b.drain()
	}
	var keys []cache.Key
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		keys = append(keys, b.insert(name))
		b.cached(keys[len(keys)-1])
	}
	for i := range 100 {
		b.exec("UPDATE api_keys SET name = $1", string(rune('A'+i%26)))
	}
	for _, key := range keys {
		b.becomes(key, "V")
	}
	require.Eventually(t, func() bool { return b.waiting() == 0 }, patience, time.Millisecond)
}

// A drainer has taken the changes, told nobody yet, and its connection is gone.
func TestDrainerDies(t *testing.T) {
	b := setupOutbox(t)
	b.insert("one")
	conn, err := pgx.ConnectConfig(t.Context(), b.pool.Config().ConnConfig.Copy())
	require.NoError(t, err)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	taken, err := db.New().CacheOutboxTake(t.Context(), tx, db.CacheOutboxTakeParams{RowLimit: 10})
	require.NoError(t, err)
	require.Len(t, taken, 1)

	o := b.drain()
	var heartbeats int64
	require.Eventually(t, func() bool { // which taken changes hold back
		require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT beat FROM cache_heartbeat").Scan(&heartbeats))
		return heartbeats > 0
	}, patience, time.Millisecond)
	var oldest time.Time
	require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT created_at FROM cache_outbox").Scan(&oldest))
	require.LessOrEqual(t, heartbeats, oldest.UnixMicro())

	require.NoError(t, conn.Close(t.Context()))
	require.Eventually(t, func() bool { return b.waiting() == 0 }, patience, time.Millisecond)
	o.Close()
}

func TestLostHeartbeatOpensANewEpoch(t *testing.T) {
	b := setupOutbox(t)
	o := b.drain()
	epoch := func() (e int64) {
		require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT epoch FROM cache_heartbeat").Scan(&e))
		return e
	}
	require.Eventually(t, func() bool { return epoch() > 0 }, patience, time.Millisecond)
	first := epoch()
	key := b.insert("one")
	b.cached(key)
	// What a failover to a lagging replica does: Redis is as it was.
	require.Eventually(t, func() bool {
		held, _, err := o.Cache.ReadHeartbeat(t.Context())
		require.NoError(t, err)
		return o.Cache.ReplaceHeartbeat(t.Context(), held, cache.Heartbeat{Epoch: first, Beat: first - 1}) == nil
	}, patience, time.Millisecond)
	require.Eventually(t, func() bool { return epoch() > first }, patience, time.Millisecond)
	second := epoch()
	// And to one that was up to date with the heartbeat, but not with a tombstone.
	b.exec("UPDATE cache_heartbeat SET server = 'the one before'")
	require.Eventually(t, func() bool { return epoch() > second }, patience, time.Millisecond)
	require.Equal(t, "one", b.cached(key), "caches go on in the new epoch")
}

func TestListenerComesBack(t *testing.T) {
	b := setupOutbox(t)
	b.drain()
	listening := func() (pids []int32) {
		rows, err := b.pool.Query(t.Context(), "SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN relaystore_cache' AND datname = current_database()")
		require.NoError(t, err)
		pids, err = pgx.CollectRows(rows, pgx.RowTo[int32])
		require.NoError(t, err)
		return pids
	}
	require.Eventually(t, func() bool { return len(listening()) == 1 }, patience, time.Millisecond)
	first := listening()[0]
	b.exec("SELECT pg_terminate_backend($1)", first)
	require.Eventually(t, func() bool { now := listening(); return len(now) == 1 && now[0] != first }, patience, time.Millisecond)
	key := b.insert("one")
	b.cached(key)
	b.exec("UPDATE api_keys SET name = 'two'")
	b.becomes(key, "two")
}

func TestOutboxStaysSmallWithoutRedis(t *testing.T) {
	b := setupOutbox(t)
	b.insert("old")
	b.exec("UPDATE cache_outbox SET created_at = now() - interval '61 minutes'")
	b.insert("new")
	o := &strategy.Outbox{Primary: b.primary(), Logger: quiet()}
	o.Start()
	require.NoError(t, o.Trim(t.Context()))
	require.Equal(t, 1, b.waiting())
	b.exec("INSERT INTO cache_outbox (kind, key, created_at) SELECT 'apikey', 'x', now() - interval '61 minutes' FROM generate_series(1, 20001)")
	require.NoError(t, o.Trim(t.Context()))
	require.Equal(t, 1, b.waiting())
	o.Close()
}

func TestTriggersNoteBothHashes(t *testing.T) {
	b := setupOutbox(t)
	noted := func() (n int) {
		n = b.waiting()
		b.exec("DELETE FROM cache_outbox")
		return n
	}
	b.exec("INSERT INTO api_keys (id, hashed_key, legacy_hash, name, created_at, updated_at) VALUES (gen_random_uuid(), sha256('a'), sha256('b'), 'n', now(), now())")
	require.Equal(t, 2, noted())
	b.exec("UPDATE api_keys SET name = 'm'")
	require.Equal(t, 2, noted(), "the same hashes before and after")
	b.exec("UPDATE api_keys SET hashed_key = sha256('c')")
	require.Equal(t, 3, noted())
	b.exec("UPDATE api_keys SET name = 'x' WHERE false")
	require.Zero(t, noted())
	b.exec("INSERT INTO api_key_last_used SELECT id, now() FROM api_keys")
	require.Zero(t, noted())
	b.exec("DELETE FROM api_keys")
	require.Equal(t, 2, noted())
}
