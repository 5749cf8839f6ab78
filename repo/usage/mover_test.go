package usage

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// movable is a process whose usage is copied from one primary to the other.
func (b *redisBundle) movable(t *testing.T) *redisProcess {
	t.Helper()
	p := b.process(t, b.stack.RedisURL)
	p.switches.Movers = map[strategy.DataType]strategy.Mover{strategy.Usage: p.Mover()}
	return p
}

func (p *redisProcess) move(t *testing.T, to strategy.Config) {
	t.Helper()
	require.NoError(t, p.switches.Move(t.Context(), strategy.Usage, to, nil).Err())
}

// bucketed are the ends of names.
var bucketed = regexp.MustCompile(`:(\d{4}-\d\d(?:-\d\d)?(?::\d\d)?)$`)

// moved makes of what a service would have left what a move leaves: no record, no long
// context, no week, no millionth rounded by itself, and TTLs from when a bucket ended.
func (s *legacySums) moved(t require.TestingT, now time.Time) {
	for key := range s.amounts {
		if strings.HasPrefix(key, "usage:opus:") {
			delete(s.amounts, key)
			delete(s.ttls, key)
		}
	}
	for key, fields := range s.hashes {
		for name := range fields {
			if strings.Contains(strings.ToLower(name), "longcontext") || strings.HasSuffix(name, "CostMicro") {
				delete(s.hashes[key], name)
			}
		}
	}
	zone := time.FixedZone("", 8*3600)
	for key, ttl := range s.ttls {
		found := bucketed.FindStringSubmatch(key)
		if ttl < 0 || found == nil {
			continue
		}
		start, err := time.ParseInLocation("2006-01-02:15"[:len(found[1])], found[1], zone)
		require.NoError(t, err, key)
		end := map[int]time.Time{7: start.AddDate(0, 1, 0), 10: start.AddDate(0, 0, 1), 13: start.Add(time.Hour)}[len(found[1])]
		if end.Before(now) {
			s.ttls[key] = ttl - now.Sub(end)
		}
		if s.ttls[key] <= 0 {
			delete(s.ttls, key)
			delete(s.hashes, key)
			delete(s.amounts, key)
			delete(s.sets, key)
		}
	}
}

// requireMoved compares all counters.
func (b *redisBundle) requireMoved(t *testing.T, records []Record) {
	want, got := newLegacySums(), b.dump(t)
	for _, r := range records {
		want.record(r, 8)
	}
	want.moved(t, time.Now().Add(-time.Minute)) // before the move began
	for key, v := range got {
		switch {
		case strings.HasPrefix(key, "usage:opus:"), strings.HasPrefix(key, "usage:records:"), key == eventsKey:
			delete(got, key)
		case strings.Contains(key, ":model:") && v.kind == "hash":
			delete(v.hash, "realCostMicro")
			delete(v.hash, "ratedCostMicro")
		}
	}
	want.requireSame(t, got, records)
}

// TestUsageMovesThereAndBack records on one primary, then on the other, twice: each move
// leaves the counters that the service would have, had it taken all of the records.
func TestUsageMovesThereAndBack(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 3)
	p := b.movable(t)
	drawn := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) Record { return movedRecord(rt, b.keys) }), 4, 40)
	for seed := range 10 { // of four moves, which take half a second
		t.Log("seed", seed)
		b.empty(t)
		p.move(t, onPostgres)
		b.exec(t, `TRUNCATE usage_records, usage_requests, usage_pending, usage_rollups, usage_rollups_hourly, usage_rollups_daily,
			usage_rollups_global, usage_rollups_global_daily, usage_totals, usage_imported, usage_imported_global`)
		records := drawn.Example(seed)
		for stretch := range 4 {
			low, high := stretch*len(records)/4, (stretch+1)*len(records)/4
			for i, s := range p.RecordUsageBatch(t.Context(), records[low:high]) {
				require.NoError(t, s.Err(), i)
			}
			if stretch%2 == 0 {
				p.move(t, onRedis)
				b.requireMoved(t, records[:high])
			} else {
				p.move(t, onPostgres)
				p.requireTotals(t, records[:high])
			}
			p.repeat(t, records[:high])
		}
	}
}

// ages are days in which nothing expires today: with hours, with days, with months.
var ages = [][2]int64{{0, 6}, {0, 6}, {8, 28}, {34, 60}}

// movedRecord is of what the layout has some buckets of.
func movedRecord(rt *rapid.T, keys []string) Record {
	n, age := rapid.Int64Range(0, 5000), rapid.SampledFrom(ages).Draw(rt, "age")
	r := Record{
		APIKeyID: rapid.SampledFrom(keys).Draw(rt, "key"), AccountID: rapid.SampledFrom(accounts).Draw(rt, "account"), AccountType: "claude-official",
		Model:       rapid.SampledFrom([]string{"gpt-5", "gpt-5-v1:0", "gemini-2.0-flash-exp:free", "claude-sonnet-4"}).Draw(rt, "model"),
		InputTokens: n.Draw(rt, "input"), OutputTokens: n.Draw(rt, "output"), CacheCreationTokens: n.Draw(rt, "creation"),
		CacheReadTokens: n.Draw(rt, "read"), RequestCount: 1,
		Cost:      result.NewMoney(decimal.New(rapid.Int64Range(0, 1e13).Draw(rt, "cost"), -12)),
		Timestamp: time.Now().UTC().Truncate(time.Second).Add(-time.Duration(rapid.Int64Range(age[0]*86400, age[1]*86400).Draw(rt, "ago")) * time.Second),
	}
	r.TotalTokens = r.InputTokens + r.OutputTokens + r.CacheCreationTokens + r.CacheReadTokens
	if rapid.Bool().Draw(rt, "has a requestId") {
		r.RequestID = uuid.NewString()
	}
	return r
}

// repeat finds each requestId registered.
func (p *redisProcess) repeat(t *testing.T, records []Record) {
	for _, r := range records {
		if r.RequestID != "" {
			s := p.RecordUsage(t.Context(), r)
			require.NoError(t, s.Err())
			require.True(t, s.Duplicate)
		}
	}
}

// requireTotals asks PostgreSQL for sums of keys and accounts.
func (p *redisProcess) requireTotals(t *testing.T, records []Record) {
	want := map[string]Summary{}
	for _, r := range records {
		for _, id := range []string{r.APIKeyID, r.AccountID} {
			s := want[id]
			s.TotalRequests, s.TotalTokens, s.TotalCost = s.TotalRequests+1, s.TotalTokens+r.TotalTokens, s.TotalCost.Add(r.Cost)
			want[id] = s
		}
	}
	for id, w := range want {
		q := StatsQuery{AccountID: id}
		if id == "" {
			continue
		} else if id != accounts[1] && id != accounts[2] {
			q = StatsQuery{APIKeyID: id}
		}
		got := total(t, p.Repo, q)
		require.Equal(t, w.TotalRequests, got.TotalRequests, id)
		require.Equal(t, w.TotalTokens, got.TotalTokens, id)
		require.Equal(t, w.TotalCost.String(), got.TotalCost.String(), id)
	}
}

// The ledger is compared wherever usage lies, and it is said what is not.
func TestVerifyOnRedis(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 1)
	p := b.movable(t)
	rep, err := p.Verify(t.Context(), VerifyOptions{})
	require.NoError(t, err)
	require.Equal(t, "what is counted in Redis, where usage is now", rep.Unchecked)
	p.move(t, onPostgres)
	rep, err = p.Verify(t.Context(), VerifyOptions{})
	require.NoError(t, err)
	require.Empty(t, rep.Unchecked)
}

// A Redis that has counted more than PostgreSQL knows is refused, and stays as it is.
func TestMoveRefusesWhatWasNotImported(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 2)
	p := b.movable(t)
	p.move(t, onPostgres)
	require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	b.do(t, b.redis.B().Hset().Key("usage:"+b.keys[1]).FieldValue().FieldValue("totalRequests", "1").Build())
	before := b.dump(t)
	requireRefused(t, p.switches.Move(t.Context(), strategy.Usage, onRedis, nil).Err(), result.InvalidQuery, "primaryStorage")
	require.Equal(t, before, b.dump(t))
	require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
}

// A Redis that was the primary cannot be imported from: what it is refused with tells what
// helps, and that does.
func TestMoveRefusesWhatWasCountedSince(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 1)
	p := b.movable(t)
	require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	p.move(t, onPostgres)
	key := "usage:" + b.keys[0]
	b.do(t, b.redis.B().Hincrby().Key(key).Field("totalRequests").Increment(1).Build())
	err := p.switches.Move(t.Context(), strategy.Usage, onRedis, nil).Err()
	requireRefused(t, err, result.InvalidQuery, "primaryStorage")
	require.NotContains(t, err.Error(), "relaystore import")
	require.ErrorContains(t, err, "delete "+key)
	b.do(t, b.redis.B().Del().Key(key).Build())
	p.move(t, onRedis)
	p.move(t, onPostgres)
	require.EqualValues(t, 1, total(t, p.Repo, StatsQuery{APIKeyID: b.keys[0]}).TotalRequests)
}

// An account's hour has its models in one hash, however many they are.
func TestMoveOfManyModels(t *testing.T) {
	t.Parallel()
	const models = 1000
	b := setupRedis(t, 1)
	p := b.movable(t)
	p.move(t, onPostgres)
	record := sample(b.keys[0])
	record.AccountID = accounts[1]
	done, ctx := errgroup.WithContext(t.Context())
	done.SetLimit(100)
	for i := range models {
		one := record
		one.Model = fmt.Sprintf("model-%d", i)
		done.Go(func() error { return p.RecordUsage(ctx, one).Err() })
	}
	require.NoError(t, done.Wait())
	p.move(t, onRedis)
	p.move(t, onPostgres)
	require.EqualValues(t, models, total(t, p.Repo, StatsQuery{AccountID: record.AccountID}).TotalRequests)
}

// What Redis has of an older copy goes; what the service has left of a key that it has
// deleted, or what is no UUID's, stays.
func TestMoveReplacesAnOlderCopy(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 1)
	p := b.movable(t)
	p.move(t, onPostgres)
	require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	today, k, gone := time.Now().UTC().Add(8*time.Hour).Format("2006-01-02"), b.keys[0], uuid.NewString()
	stale := []string{
		"usage:" + k + ":model:daily:older:" + today, "usage:global:daily:2026-01-01", "account_usage:" + accounts[1],
		"relaystore:usage:account:total:none", "usage:model:daily:index:2026-01-01",
	}
	others := []string{"usage:" + gone, "usage:" + gone + ":model:daily:m:" + today, "usage:daily:somebody:" + today, "usage:opus:total:" + k}
	for _, key := range append(stale, others...) {
		b.do(t, b.redis.B().Hset().Key(key).FieldValue().FieldValue("requests", "1").FieldValue("cost:older", "1").Build())
	}
	p.move(t, onRedis)
	found := func(keys []string) (n int64) {
		n, err := b.redis.Do(t.Context(), b.redis.B().Exists().Key(keys...).Build()).AsInt64()
		require.NoError(t, err)
		return n
	}
	require.EqualValues(t, 1, found(stale), "of relaystore's own costs, those of no account are new")
	require.EqualValues(t, len(others), found(others))
	costs, err := b.redis.Do(t.Context(), b.redis.B().Hgetall().Key("relaystore:usage:account:total:none").Build()).AsStrMap()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"cost:m": "0.001", "requests:m": "1"}, costs)
}

// meddled is a mover behind whose comparison something happens.
type meddled struct {
	mover

	meanwhile func()
}

func (m meddled) Compare(ctx context.Context, move strategy.Move) (int64, error) {
	differ, err := m.mover.Compare(ctx, move)
	m.meanwhile()
	return differ, err
}

// A counter that expires while usage is moved stops nothing; one that is written does,
// relaystore's own as well.
func TestMoveAndForeignCounters(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 1)
	p := b.movable(t)
	require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	for key, code := range map[string]result.Code{
		"usage:global:total": result.TransactionConflict, "relaystore:usage:account:total:none": result.TransactionConflict, "relaystore:request:x": result.TransactionConflict,
	} {
		p.switches.Movers[strategy.Usage] = meddled{mover{p.Repo}, func() {
			b.do(t, b.redis.B().Hset().Key(key).FieldValue().FieldValue("x", "1").Build())
		}}
		require.ErrorIs(t, p.switches.Move(t.Context(), strategy.Usage, onPostgres, nil).Err(), code, key)
	}
	b.do(t, b.redis.B().Del().Key("relaystore:request:x").Build())
	p.switches.Movers[strategy.Usage] = meddled{mover{p.Repo}, func() { b.do(t, b.redis.B().Del().Key("usage:global:total").Build()) }}
	p.move(t, onPostgres)
	require.EqualValues(t, 1, total(t, p.Repo, StatsQuery{APIKeyID: b.keys[0]}).TotalRequests)
}

// What waits in a journal is flushed before usage moves, and one in use is refused.
func TestMoveAndTheJournal(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	p := b.silent(t)
	require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	m := mover{p.Repo}
	requireRefused(t, m.Prepare(t.Context(), strategy.PrimaryRedis), result.InvalidQuery, "writeStrategy")
	require.NoError(t, m.Prepare(t.Context(), strategy.PrimaryPostgres))
	require.ErrorIs(t, m.ToRedis(t.Context(), strategy.Move{}), result.ReadOnly)
	p.WriteBehind(false)
	p.behind.journal.Start(p.flush)
	require.NoError(t, m.Prepare(t.Context(), strategy.PrimaryRedis))
	require.NoError(t, m.drained(t.Context()))
	require.EqualValues(t, 1, b.count(t, "SELECT count(*) FROM usage_records"))
}

// tampered is a mover whose copy in Redis somebody spoils.
type tampered struct {
	mover

	spoil func()
}

func (m tampered) ToRedis(ctx context.Context, move strategy.Move) error {
	defer m.spoil()
	return m.mover.ToRedis(ctx, move)
}

// The counters of everybody are verified as those of keys are.
func TestMoveVerifiesEverybody(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 2)
	p := b.movable(t)
	p.move(t, onPostgres)
	for _, key := range b.keys {
		require.NoError(t, p.RecordUsage(t.Context(), sample(key)).Err())
	}
	month := time.Now().UTC().Add(8 * time.Hour).Format("2006-01")
	for _, key := range []string{"usage:global:total", "usage:global:monthly:" + month, "usage:model:monthly:m:" + month, "usage:model:monthly:other:" + month} {
		p.switches.Movers[strategy.Usage] = tampered{mover{p.Repo}, func() {
			b.do(t, b.redis.B().Hincrby().Key(key).Field("requests").Increment(1).Build())
		}}
		err := p.switches.Move(t.Context(), strategy.Usage, onRedis, nil).Err()
		require.ErrorIs(t, err, result.Internal, key)
		require.ErrorContains(t, err, "differs in 1 ", key)
	}
	p.switches.Movers[strategy.Usage] = p.Mover()
	p.move(t, onRedis)
}
