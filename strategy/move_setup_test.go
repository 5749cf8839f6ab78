package strategy_test

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/strategy"
)

// store is a repo of sessions that knows only whose they are, as a process has it.
type store struct {
	*strategy.Switches

	primary *strategy.Postgres
	place   *strategy.Place
	pool    *pgxpool.Pool
}

// ids is the hash in Redis that counts how often each session was added.
const ids = "relaystore:session:ids"

var (
	addToRedis  = strategy.NewScript(`return redis.call('HINCRBY', KEYS[1], ARGV[1], 1)`)
	copyToRedis = strategy.NewScript(`for _, id in ipairs(ARGV) do redis.call('HSET', KEYS[1], id, 1) end return 1`)
	emptyRedis  = strategy.NewScript(`return redis.call('DEL', KEYS[1])`)
)

const addToPostgres = `INSERT INTO sessions (id, token_hash, user_id, user_type, session_data, created_at, expires_at)
	SELECT gen_random_uuid(), sha256(u::bytea), u, 'user', '{}', now(), now() + interval '1 day' FROM unnest($1::text[]) u`

func openStore(ctx context.Context, databaseURL, redisURL string) (*store, error) {
	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	connect := func(tune func(*rueidis.ClientOption)) (rueidis.Client, error) {
		opt, err := rueidis.ParseURL(redisURL)
		if err != nil {
			return nil, err
		}
		opt.DisableRetry, opt.ForceSingleClient = true, true
		tune(&opt)
		return rueidis.NewClient(opt)
	}
	redis := &strategy.Redis{
		OpTimeout: 2 * time.Second,
		Connect: func() (rueidis.Client, error) {
			return connect(func(o *rueidis.ClientOption) { o.DisableCache = true })
		},
		Watch: func(prefixes []string, changed func([]rueidis.RedisMessage)) (rueidis.Client, error) {
			return connect(func(o *rueidis.ClientOption) {
				o.PipelineMultiplex, o.OnInvalidations = -1, changed
				o.ClientTrackingOptions = []string{"BCAST"}
				for _, p := range prefixes {
					o.ClientTrackingOptions = append(o.ClientTrackingOptions, "PREFIX", p)
				}
			})
		},
	}
	p := &strategy.Postgres{Pool: pool, OpTimeout: 2 * time.Second}
	s := &store{pool: pool, Switches: &strategy.Switches{
		Primary: p, Redis: redis, Machinery: strategy.Machinery{Cache: true, Redis: true}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Movers: map[strategy.DataType]strategy.Mover{strategy.Session: mover{}},
	}}
	s.Lease(3*time.Second, 0) // a busy machine must not lose it
	s.place = s.Place(strategy.Session)
	s.Guard(p)
	s.primary = p.For(strategy.Session)
	if err := s.Look(ctx); err != nil {
		return nil, err
	}
	s.Start()
	return s, nil
}

func (s *store) insert(ctx context.Context, id string) error {
	_, err := strategy.Follow(func() (struct{}, error) {
		if r := s.place.Redis(); r != nil {
			_, err := r.Write(ctx, strategy.Session, addToRedis, []string{ids}, []string{id})
			return struct{}{}, err
		}
		return struct{}{}, s.primary.Write(ctx, add(id))
	})
	return err
}

func add(id string) func(context.Context, db.DBTX) error {
	return func(ctx context.Context, tx db.DBTX) error {
		_, err := tx.Exec(ctx, addToPostgres, []string{id})
		return err
	}
}

// mover copies the whole set.
type mover struct{}

func inPostgres(ctx context.Context, p *strategy.Postgres) (found []string, err error) {
	err = p.Read(ctx, func(ctx context.Context, c db.DBTX) error {
		rows, err := c.Query(ctx, "SELECT user_id FROM sessions ORDER BY user_id")
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return found, err
}

// inRedis gives an id as often as it was added.
func inRedis(ctx context.Context, r *strategy.Redis) (found []string, err error) {
	err = r.Read(ctx, func(ctx context.Context, c rueidis.Client) error {
		counts, err := c.Do(ctx, c.B().Hgetall().Key(ids).Build()).AsStrMap()
		found = nil
		for id, n := range counts {
			times, _ := strconv.Atoi(n)
			found = append(found, slices.Repeat([]string{id}, times)...)
		}
		return err
	})
	slices.Sort(found)
	return found, err
}

func (mover) ToRedis(ctx context.Context, m strategy.Move) error {
	found, err := inPostgres(ctx, m.Postgres)
	if err == nil {
		_, err = m.Redis.Write(ctx, strategy.Session, emptyRedis, []string{ids}, nil)
	}
	for part := range slices.Chunk(found, 100) {
		if err == nil {
			_, err = m.Redis.Write(ctx, strategy.Session, copyToRedis, []string{ids}, part)
		}
		m.Progress(int64(len(part)), int64(len(found)))
	}
	return err
}

func (mover) ToPostgres(ctx context.Context, m strategy.Move) error {
	found, err := inRedis(ctx, m.Redis)
	if err != nil {
		return err
	}
	m.Progress(0, int64(len(found)))
	return m.Postgres.Write(ctx, func(ctx context.Context, tx db.DBTX) error {
		if _, err := tx.Exec(ctx, "DELETE FROM sessions"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, addToPostgres, found)
		return err
	})
}

func (mover) Compare(ctx context.Context, m strategy.Move) (int64, error) {
	p, err := inPostgres(ctx, m.Postgres)
	if err != nil {
		return 0, err
	}
	r, err := inRedis(ctx, m.Redis)
	if err == nil && !slices.Equal(p, r) {
		return 1, nil
	}
	return 0, err
}

// config is how sessions are stored on a primary.
func config(p strategy.Primary) strategy.Config {
	if p == strategy.PrimaryPostgres {
		return strategy.Default(strategy.Session, false)
	}
	return strategy.Config{PrimaryStorage: p, ReadStrategy: strategy.DatabaseFirst, WriteStrategy: strategy.WriteThrough}
}

var primaries = []strategy.Primary{strategy.PrimaryRedis, strategy.PrimaryPostgres}

// moves is a database and a Redis with stores on both.
type moves struct {
	*testing.T

	database, redis string
	direct          rueidis.Client
	store           *store
}

func setupMoves(t *testing.T) *moves {
	t.Helper()
	m := &moves{T: t, database: testdb.URL(t), redis: testdb.RedisServer(t).URL()}
	m.direct = testdb.RedisAt(t, m.redis)
	m.store = m.open()
	return m
}

func (m *moves) open() *store {
	m.Helper()
	s, err := openStore(m.Context(), m.database, m.redis)
	require.NoError(m, err)
	m.Cleanup(func() {
		s.Close()
		s.Redis.Close()
		s.pool.Close()
	})
	return s
}

// stored gives what a primary holds, whichever is in charge.
func (m *moves) stored(p strategy.Primary) []string {
	m.Helper()
	var found []string
	var err error
	if p == strategy.PrimaryPostgres {
		found, err = inPostgres(m.Context(), m.store.primary)
	} else {
		found, err = inRedis(m.Context(), m.store.Redis)
	}
	require.NoError(m, err)
	return found
}

func (m *moves) becomes(condition func() bool) {
	m.Helper()
	require.Eventually(m, condition, time.Minute, time.Millisecond)
}
