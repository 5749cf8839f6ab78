package movetest

import (
	"context"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// midway is the step at which a part is copied: the whole, where there is little.
const midway = "midway"

// Steps are where a move is killed.
var Steps = []string{
	strategy.MovePausing, strategy.MoveCopying, midway, strategy.MoveVerifying, strategy.MoveFlipping, strategy.MoveFlipped,
}

func stepOf(p strategy.Progress) string {
	if p.Step == strategy.MoveCopying && p.Done > 0 {
		return midway
	}
	return p.Step
}

var primaries = []strategy.Primary{strategy.PrimaryRedis, strategy.PrimaryPostgres}

func configOn(p strategy.Primary, t strategy.DataType) strategy.Config {
	if p == strategy.PrimaryPostgres {
		return strategy.Default(t, false)
	}
	return strategy.DefaultOn(p, t)
}

// run is one data type's, on a database and a Redis of its own.
type run struct {
	*testing.T

	dataType    strategy.DataType
	client      *repo.Client
	pool        *pgxpool.Pool
	redis       rueidis.Client
	load        load
	book        *book
	environment []string
	writers     []*process
}

// Run moves a data type's primary to and fro, kills the move at each of steps both ways,
// and lets somebody else write between. The binary's TestMain must call Play.
func Run(t *testing.T, dataType strategy.DataType, steps []string) {
	r := begin(t, dataType)
	for range 3 {
		r.writers = append(r.writers, r.start(roleWrite, ""))
	}
	r.work(r.writers)
	for i, step := range steps {
		for k, to := range primaries {
			r.killedAt(step, to)
			r.sleptThrough(r.writers[(i+k)%len(r.writers)], to, i%2 == 1)
		}
	}
	for _, to := range primaries {
		r.stoppedByOthers(to)
		r.move(to, nil)
		r.work(r.writers)
	}
	r.move(strategy.PrimaryRedis, nil)
	r.work(r.writers)
	for _, w := range r.writers {
		w.end(t)
	}
	r.requireKept()
	r.move(strategy.PrimaryPostgres, nil)
	r.requireKept()
	t.Logf("%d acknowledged, %d failed", r.book.acks, len(r.book.failed))
}

// seeds are records that are there before: more than a mover copies at once, but of
// accounts.
var seeds = map[strategy.DataType]int{strategy.APIKey: 120, strategy.Account: 20, strategy.Session: 220, strategy.Usage: 70}

func begin(t *testing.T, dataType strategy.DataType) *run {
	t.Helper()
	r := &run{T: t, dataType: dataType, book: newBook()}
	cfg := testclient.Config(t)
	cfg.PrimaryRedisURL, cfg.LegacyEncryptionKey = testclient.LegacyRedis(t), "an encryption key of 32 letters!"
	var err error
	cfg.Keyset, err = seal.Generate()
	require.NoError(t, err)
	file := t.TempDir() + "/keyset.json"
	require.NoError(t, seal.CreateFile(file, cfg.Keyset))
	r.client, r.pool, r.redis = testclient.Open(t, cfg), testdb.Pool(t, cfg.DatabaseURL), testdb.RedisAt(t, cfg.PrimaryRedisURL)
	n, given := seeds[dataType], ""
	if dataType == strategy.Usage {
		var ids []string
		for range n {
			k, err := r.client.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "k"}).Get()
			require.NoError(t, err)
			ids = append(ids, k.ID)
		}
		given = usageGiven(ids)
	}
	r.load = loads[dataType](r.client, given)
	r.environment = []string{
		"DATABASE_URL=" + cfg.DatabaseURL, "REDIS_URL=" + cfg.RedisURL, "RELAYSTORE_KEY_PREFIX=" + cfg.KeyPrefix,
		"RELAYSTORE_PRIMARY_REDIS_URL=" + cfg.PrimaryRedisURL, "RELAYSTORE_LEGACY_ENCRYPTION_KEY=" + cfg.LegacyEncryptionKey,
		"RELAYSTORE_KEYSET_FILE=" + file, "RELAYSTORE_MAX_CONNS=4", typeVar + "=" + string(dataType), givenVar + "=" + given,
		"RELAYSTORE_OP_TIMEOUT=1s", // how long a transaction of a stopped process may hold up a move
	}
	r.seed(n)
	return r
}

func (r *run) seed(n int) {
	r.Helper()
	turn := make(chan time.Time)
	close(turn)
	w := &writer{r.load, func(words ...string) { r.book.note(words) }}
	var working sync.WaitGroup
	for i := range n {
		working.Go(func() {
			record, steps := w.story(i)
			w.take(r.Context(), record, steps[:1], turn)
		})
	}
	working.Wait()
	require.Equal(r, n, r.book.acks, r.book.failed)
}

// work waits until each of some writers has had a few more answers.
func (r *run) work(of []*process) {
	r.Helper()
	for _, w := range of {
		before := w.acks.Load()
		r.becomes(func() bool { return w.acks.Load() > before+3 })
	}
}

func (r *run) becomes(condition func() bool) {
	r.Helper()
	require.Eventually(r, condition, time.Minute, time.Millisecond)
}

func (r *run) primary() strategy.Primary {
	r.Helper()
	require.NoError(r, r.client.Storage.Switches.Look(r.Context()))
	return r.client.Storage.Switches.State(r.dataType).PrimaryStorage
}

// killedAt leaves a primary in charge, and everybody writes on.
func (r *run) killedAt(step string, to strategy.Primary) {
	r.Helper()
	stays := r.primary()
	switcher := r.start(string(to), step)
	r.becomes(func() bool { return switcher.holding.Load() || switcher.ended.Load() })
	require.True(r, switcher.holding.Load(), "to %s, not yet at %s: %s", to, step, &switcher.errs)
	switcher.kill()
	_, err := r.pool.Exec(r.Context(), "UPDATE storage_primaries SET lease_expires_at = clock_timestamp() WHERE lease_expires_at IS NOT NULL")
	require.NoError(r, err)
	if step == strategy.MoveFlipped {
		stays = to
	}
	r.work(r.writers)
	require.Equal(r, stays, r.primary(), "killed at %s", step)
}

// move tells watch, which may be nil.
func (r *run) move(to strategy.Primary, watch func(step string)) {
	r.Helper()
	for {
		err := r.client.Storage.SwitchPrimary(r.Context(), r.dataType, configOn(to, r.dataType), func(p strategy.Progress) {
			if watch != nil {
				watch(p.Step)
			}
		}).Err()
		if err == nil {
			break
		}
		require.True(r, again(err), err)
	}
	require.Equal(r, to, r.primary())
}

// sleptThrough moves while a writer sleeps: in the midst of what it does, or waiting for the
// move. It wakes up and writes nothing where the primary was.
func (r *run) sleptThrough(sleeper *process, to strategy.Primary, waiting bool) {
	r.Helper()
	from := primaries[1-slices.Index(primaries, to)]
	if !waiting {
		sleeper.signal(r, syscall.SIGSTOP)
	}
	r.move(to, func(step string) {
		if waiting && step == strategy.MoveVerifying {
			sleeper.signal(r, syscall.SIGSTOP)
		}
	})
	before := r.held(from)
	r.work(slices.DeleteFunc(slices.Clone(r.writers), func(w *process) bool { return w == sleeper }))
	sleeper.signal(r, syscall.SIGCONT)
	r.work(r.writers)
	for key, value := range r.held(from) {
		require.Equal(r, before[key], value, "%s of the old primary", key)
	}
}

// tables are what a writer writes; what a background worker makes of it is none.
var tables = map[strategy.DataType][]string{
	strategy.APIKey: {"api_keys"}, strategy.Account: {"accounts"}, strategy.Session: {"sessions"},
	strategy.Usage: {"usage_records", "usage_requests", "usage_imported"},
}

// held is what a primary holds, by table or key. Keys may expire.
func (r *run) held(at strategy.Primary) map[string]string {
	r.Helper()
	all := make(map[string]string)
	if at == strategy.PrimaryPostgres {
		for _, table := range tables[r.dataType] {
			var sum string
			sql := "SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM " + table + " t"
			require.NoError(r, r.pool.QueryRow(r.Context(), sql).Scan(&sum))
			all[table] = sum
		}
		return all
	}
	names := r.names("*")
	cmds := make(rueidis.Commands, len(names))
	for i, name := range names {
		cmds[i] = r.redis.B().Dump().Key(name).Build()
	}
	for i, reply := range r.redis.DoMulti(r.Context(), cmds...) {
		text, err := reply.ToString()
		if rueidis.IsRedisNil(err) || names[i] == strategy.EpochKey(r.dataType) {
			continue
		}
		require.NoError(r, err)
		all[names[i]] = text
	}
	return all
}

func (r *run) names(pattern string) (names []string) {
	r.Helper()
	for cursor := uint64(0); ; {
		page, err := r.redis.Do(r.Context(), r.redis.B().Scan().Cursor(cursor).Match(pattern).Count(1000).Build()).AsScanEntry()
		require.NoError(r, err)
		names = append(names, page.Elements...)
		if cursor = page.Cursor; cursor == 0 {
			return names
		}
	}
}

// theirs are records that somebody who follows no switch might write.
var theirs = map[strategy.DataType]string{
	strategy.APIKey: "apikey:????????-*", strategy.Account: "ccr_account:????????-*",
	strategy.Session: "relaystore:session:*", strategy.Usage: "usage:????????-*",
}

// stoppedByOthers lets somebody write to a record in Redis at a step of a move, who knows
// of no switch. The primary stays, and everybody writes on. What is written to Redis
// before all is copied there is overwritten, or stops the move by being different.
func (r *run) stoppedByOthers(to strategy.Primary) {
	r.Helper()
	stays := r.primary()
	steps := []string{strategy.MoveCopying, strategy.MoveVerifying, strategy.MoveFlipping}
	if to == strategy.PrimaryRedis {
		steps = steps[1:]
	}
	for _, step := range steps {
		err := r.client.Storage.SwitchPrimary(r.Context(), r.dataType, configOn(to, r.dataType), func(p strategy.Progress) {
			if stepOf(p) == step {
				key := r.names(theirs[r.dataType])[0]
				require.NoError(r, r.redis.Do(r.Context(), r.redis.B().Hset().Key(key).FieldValue().FieldValue("theirs", "1").Build()).Error())
			}
		}).Err()
		require.Error(r, err, "written at %s", step)
		require.Contains(r, []result.Code{result.TransactionConflict, result.Internal}, result.From(err).Code, err.Error())
		require.Equal(r, stays, r.primary())
		r.work(r.writers)
	}
}

// requireKept compares the primary with the book.
func (r *run) requireKept() {
	r.Helper()
	wrong, err := r.load.wrong(context.WithoutCancel(r.Context()), r.book)
	require.NoError(r, err)
	require.Empty(r, wrong, "on %s; failed: %v", r.primary(), r.book.failed)
	require.Less(r, 20*len(r.book.failed), r.book.acks, r.book.failed)
}
