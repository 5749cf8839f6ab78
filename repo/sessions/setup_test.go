package sessions_test

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// patience is how long a condition may take to come true.
const patience = time.Minute

// bundle is a process, its config for further ones, and a look at its tables.
type bundle struct {
	*testing.T
	*process

	cfg   repo.Config
	pool  *pgxpool.Pool
	redis rueidis.Client
}

// process is a client that counts how often validation has asked PostgreSQL.
type process struct {
	*sessions.Repo

	client *repo.Client
	reads  *readCounter
}

type readCounter struct{ atomic.Int64 }

// TraceQueryStart counts the statement of validation.
func (c *readCounter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if strings.Contains(q.SQL, "-- name: SessionGetByHash ") {
		c.Add(1)
	}
	return ctx
}

func (*readCounter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func setup(t *testing.T, change ...func(*repo.Config)) *bundle {
	t.Helper()
	t.Parallel()
	cfg := testclient.Config(t)
	for _, c := range change {
		c(&cfg)
	}
	b := &bundle{T: t, cfg: cfg, pool: testdb.Pool(t, cfg.DatabaseURL), redis: testdb.Redis(t)}
	b.process = b.open(cfg)
	return b
}

func uncached(c *repo.Config) { c.RedisURL, c.RequireRedis = "", false }

// pooled prepares no statements, as behind a pooler: parameters go as text.
func pooled(c *repo.Config) {
	u, err := url.Parse(c.DatabaseURL)
	if err != nil {
		panic(err)
	}
	q := u.Query()
	q.Set("default_query_exec_mode", "exec")
	u.RawQuery = q.Encode()
	c.DatabaseURL = u.String()
}

// open opens one more process.
func (b *bundle) open(cfg repo.Config) *process {
	b.Helper()
	pc, err := pgxpool.ParseConfig(cfg.DatabaseURL)
	require.NoError(b, err)
	p := &process{reads: &readCounter{}}
	pc.MaxConns, pc.ConnConfig.Tracer = 8, p.reads
	cfg.Pool, err = pgxpool.NewWithConfig(b.ctx(), pc)
	require.NoError(b, err)
	b.Cleanup(cfg.Pool.Close)
	cfg.DatabaseURL, cfg.MaxConns = "", 0
	p.client = testclient.Open(b, cfg)
	p.Repo = p.client.Sessions
	return p
}

func alice() sessions.Data {
	return sessions.Data{UserID: "alice", UserType: sessions.User, SessionData: json.RawMessage(`{"theme":"dark"}`)}
}

func (b *bundle) create(data sessions.Data) string {
	b.Helper()
	return b.created(data).SessionToken
}

func (b *bundle) created(data sessions.Data) sessions.Created {
	b.Helper()
	c, err := b.CreateSession(b.ctx(), data).Get()
	require.NoError(b, err)
	return c
}

func (b *bundle) says(p *process, token string) sessions.Validation {
	b.Helper()
	v, err := p.ValidateSession(b.ctx(), token).Get()
	require.NoError(b, err)
	return v
}

func (b *bundle) unknown(p *process, token string) bool {
	b.Helper()
	err := p.ValidateSession(b.ctx(), token).Err()
	if err != nil {
		require.ErrorIs(b, err, result.RecordNotFound)
	}
	return err != nil
}

// warm validates until a process answers from its own table, and nothing that would
// evict it there is on its way.
func (b *bundle) warm(p *process, token string) {
	b.Helper()
	b.told()
	b.becomes(func() bool {
		before := p.reads.Load()
		_, _ = p.ValidateSession(b.ctx(), token).Get()
		return p.reads.Load() == before && !b.inFlight(token)
	})
}

// fillRedis has one more process put a session into Redis, which it does when
// nothing is in the session's place there.
func (b *bundle) fillRedis(token string) *process {
	b.Helper()
	b.told()
	require.NoError(b, b.redis.Do(b.ctx(), b.redis.B().Del().Key(b.redisKey(token)).Build()).Error()) // a tombstone
	p := b.open(b.cfg)
	b.becomes(func() bool {
		b.says(p, token)
		return strings.HasPrefix(b.stored(token), "v")
	})
	return p
}

// told waits until Redis has been told of every change.
func (b *bundle) told() {
	b.Helper()
	b.becomes(func() bool { return b.number("SELECT count(*) FROM cache_outbox") == 0 })
}

// inFlight tells whether Redis still has a tombstone or a lease for a session.
func (b *bundle) inFlight(token string) bool {
	text := b.stored(token)
	return text != "" && !strings.HasPrefix(text, "v")
}

// stored is what Redis holds for a session, "" for nothing.
func (b *bundle) stored(token string) string {
	b.Helper()
	text, err := b.redis.Do(b.ctx(), b.redis.B().Get().Key(b.redisKey(token)).Build()).ToString()
	if rueidis.IsRedisNil(err) {
		return ""
	}
	require.NoError(b, err)
	return text
}

func (b *bundle) redisKey(token string) string { return b.cfg.KeyPrefix + "session:" + hashOf(token) }

func (b *bundle) exec(sql string, args ...any) {
	b.Helper()
	_, err := b.pool.Exec(b.ctx(), sql, args...)
	require.NoError(b, err)
}

func (b *bundle) number(sql string, args ...any) (n int) {
	b.Helper()
	require.NoError(b, b.pool.QueryRow(b.ctx(), sql, args...).Scan(&n))
	return n
}

func (b *bundle) count() int {
	b.Helper()
	return b.number("SELECT count(*) FROM sessions")
}

func (b *bundle) becomes(condition func() bool) {
	b.Helper()
	require.Eventually(b, condition, patience, time.Millisecond)
}

func (b *bundle) ctx() context.Context { return b.Context() }

func requireField(t testing.TB, err error, code result.Code, field string) {
	t.Helper()
	require.ErrorIs(t, err, code)
	require.Equal(t, field, result.From(err).Field(), err.Error())
}

// clock is one that stands until it is moved.
type clock struct{ nanos atomic.Int64 }

// stop gives processes one clock that stands at the present time.
func stop(processes ...*process) *clock {
	c := &clock{}
	c.nanos.Store(time.Now().Truncate(time.Microsecond).UnixNano())
	for _, p := range processes {
		p.SetClock(c.now)
	}
	return c
}

func (c *clock) now() time.Time { return time.Unix(0, c.nanos.Load()) }

func (c *clock) move(d time.Duration) { c.nanos.Add(int64(d)) }
