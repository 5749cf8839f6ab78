package usage

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// calls tells how often a Redis has run a command.
func (b *redisBundle) calls(t *testing.T, command string) (n int) {
	t.Helper()
	m := b.do(t, b.redis.B().Info().Section("commandstats").Build())
	text, err := m.ToString()
	require.NoError(t, err)
	if _, after, found := strings.Cut(text, "cmdstat_"+command+":calls="); found {
		_, err = fmt.Sscanf(after, "%d", &n)
		require.NoError(t, err)
	}
	return n
}

// TestRedisRecordIsOneRoundTrip: a record is one command, and so is each of a batch, whose
// commands do not wait for each other.
func TestRedisRecordIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 1)
	require.NoError(t, b.RecordUsage(t.Context(), sample(b.keys[0])).Err()) // Redis learns the script
	b.do(t, b.redis.B().ConfigResetstat().Build())
	require.NoError(t, b.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	require.Equal(t, 1, b.calls(t, "evalsha"))
	for _, other := range []string{"eval", "script|load", "hgetall"} {
		require.Zero(t, b.calls(t, other), other)
	}
	key := b.do(t, b.redis.B().Hgetall().Key("apikey:"+b.keys[0]).Build())
	fields, err := key.AsStrMap()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"id": b.keys[0], "name": "key 0"}, fields)
}

// TestRedisCountsOnceUnderLoad: processes record at once, some records twice.
func TestRedisCountsOnceUnderLoad(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 2)
	const callers, each = 12, 20
	processes := []*Repo{b.Repo, b.process(t, b.stack.RedisURL).Repo, b.process(t, b.stack.RedisURL).Repo}
	var work sync.WaitGroup
	var mu sync.Mutex
	counted := map[string]int{}
	for c := range callers {
		work.Go(func() {
			for i := range each {
				r := sample(b.keys[c%2])
				r.AccountID, r.Timestamp = accounts[1], time.Now()
				r.RequestID = fmt.Sprintf("request %d of %d", i, c/2) // two callers have the same key and name the same
				if c%2 == 1 {
					r.APIKeyID, r.RequestID = b.keys[0], fmt.Sprintf("request %d of %d", i, (c-1)/2)
				}
				s := processes[c%3].RecordUsage(t.Context(), r)
				if !s.Duplicate && s.Err() == nil {
					mu.Lock()
					counted[r.RequestID]++
					mu.Unlock()
				}
			}
		})
	}
	work.Wait()
	require.Len(t, counted, callers/2*each)
	for id, n := range counted {
		require.Equal(t, 1, n, id)
	}
	start := time.Now().Add(-2 * time.Hour).Truncate(time.Hour)
	s, err := b.GetUsageStats(t.Context(), StatsQuery{APIKeyID: b.keys[0], StartDate: start, EndDate: start.Add(4 * time.Hour), Granularity: Hour}).Get()
	require.NoError(t, err)
	require.Equal(t, int64(callers/2*each), s.Summary.TotalRequests)
	require.Equal(t, int64(7*callers/2*each), s.Summary.TotalTokens)
	require.Equal(t, "0.12", s.Summary.TotalCost.String())
}

// TestRedisDamageCountsNothing: a counter that is not what the layout says, the last one
// that a script comes to as well as the first, refuses the record as a whole.
func TestRedisDamageCountsNothing(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 1)
	r := sample(b.keys[0])
	r.AccountID, r.AccountType, r.Model, r.Timestamp = accounts[1], "claude-official", "claude-x", time.Now()
	require.NoError(t, b.RecordUsage(t.Context(), r).Err())
	healthy := b.dump(t)
	for key, v := range healthy {
		if strings.HasPrefix(key, "apikey:") {
			continue
		}
		b.do(t, b.redis.B().Rename().Key(key).Newkey("kept").Build())
		if wrong := "a text"; v.kind == "hash" {
			b.do(t, b.redis.B().Hset().Key(key).FieldValue().FieldValue("requests", wrong).FieldValue("totalRequests", wrong).Build())
		} else {
			b.do(t, b.redis.B().Set().Key(key).Value(wrong).Build())
		}
		before := b.dump(t)
		err := b.RecordUsage(t.Context(), r).Err()
		require.ErrorIs(t, err, result.ConstraintViolation, key)
		require.Equal(t, key, result.From(err).Details["key"])
		requireSameValues(t, before, b.dump(t))
		b.do(t, b.redis.B().Rename().Key("kept").Newkey(key).Build())
	}
	require.NoError(t, b.RecordUsage(t.Context(), r).Err())
}

// requireSameValues leaves TTLs out, which run.
func requireSameValues(t *testing.T, want, got legacyDump) {
	t.Helper()
	require.Len(t, got, len(want))
	for key, v := range want {
		require.Equal(t, v.hash, got[key].hash, key)
		require.Equal(t, v.text, got[key].text, key)
		require.ElementsMatch(t, v.list, got[key].list, key)
	}
}

// TestRedisFence: while usage is moved nothing is written, and a process that has missed
// the move writes to where usage is now.
func TestRedisFence(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 1)
	other := b.process(t, b.stack.RedisURL)
	require.NoError(t, b.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	before := b.dump(t)

	copying := noCopy{make(chan struct{})}
	other.switches.Movers[strategy.Usage] = copying
	moved, held := make(chan error, 1), make(chan struct{})
	go func() {
		moved <- other.switches.Move(context.WithoutCancel(t.Context()), strategy.Usage, onPostgres, func(p strategy.Progress) {
			if p.Step == strategy.MoveCopying {
				select {
				case <-held:
				default:
					close(held)
				}
			}
		}).Err()
	}()
	<-held
	r := sample(b.keys[0])
	r.RequestID = "fenced"
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, b.RecordUsage(ctx, r).Err(), result.ReadOnly)
	requireSameValues(t, before, b.dump(t))

	close(copying.until)
	require.NoError(t, <-moved)
	s := b.RecordUsage(t.Context(), r)
	require.NoError(t, s.Err())
	require.False(t, s.Duplicate)
	requireSameValues(t, before, b.dump(t))
	require.Equal(t, int64(1), b.count(t, "SELECT count(*) FROM usage_records"))
}

// TestRedisRepeatFindsItself: the answer to a record is lost on the way, and the library's
// own retry neither counts again nor takes itself for another's duplicate.
func TestRedisRepeatFindsItself(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 1)
	u, err := url.Parse(b.stack.RedisURL)
	require.NoError(t, err)
	proxy, err := faultproxy.Start("tcp", u.Host)
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	u.Host = proxy.Addr()
	p := b.process(t, u.String())
	for i, requestID := range []string{"", "a request"} {
		r := sample(b.keys[0])
		r.RequestID = requestID
		lost := proxy.On(faultproxy.ToClient, "NEW\r\n", faultproxy.CutBefore)
		s := p.RecordUsage(t.Context(), r)
		require.NoError(t, s.Err())
		require.False(t, s.Duplicate)
		<-lost
		m := b.do(t, b.redis.B().Hget().Key("usage:"+b.keys[0]).Field("totalRequests").Build())
		n, err := m.ToString()
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(i+1), n)
	}
}

// TestRedisKeysInPostgres: usage alone is on Redis, and PostgreSQL tells which keys there are.
func TestRedisKeysInPostgres(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 1)
	p := b.process(t, b.stack.RedisURL)
	require.NoError(t, p.switches.Switch(t.Context(), strategy.APIKey, onPostgres).Err())
	b.do(t, b.redis.B().Del().Key("apikey:"+b.keys[0]).Build())
	require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	requireRefused(t, p.RecordUsage(t.Context(), sample(uuid.NewString())).Err(), result.RecordNotFound, "apiKeyId")
}

// TestPostgresKeysInRedis: keys alone are on Redis, which tells the ledger which there are.
func TestPostgresKeysInRedis(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 0)
	p := b.process(t, b.stack.RedisURL)
	require.NoError(t, p.switches.Switch(t.Context(), strategy.Usage, onPostgres).Err())
	key := uuid.NewString()
	b.do(t, b.redis.B().Hset().Key("apikey:"+key).FieldValue().FieldValue("id", key).Build())
	require.NoError(t, p.RecordUsage(t.Context(), sample(key)).Err())
	r := sample(key)
	r.RequestID = "a request"
	for i, s := range p.RecordUsageBatch(t.Context(), []Record{r, sample(uuid.NewString()), r}) {
		switch i {
		case 1:
			requireRefused(t, s.Err(), result.RecordNotFound, "apiKeyId")
		default:
			require.NoError(t, s.Err())
			require.Equal(t, i == 2, s.Duplicate)
		}
	}
	require.Equal(t, int64(2), total(t, p.Repo, StatsQuery{APIKeyID: key}).TotalRequests)
	require.Len(t, b.dump(t), 1)
}

// TestRedisCancelled: who leaves before the write starts has written nothing.
func TestRedisCancelled(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.RecordUsage(ctx, sample(b.keys[0])).Err(), result.Cancelled)
	require.Len(t, b.dump(t), 1)
}

// TestRedisCleanup deletes nothing, and says so.
func TestRedisCleanup(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 2)
	for i := range 203 {
		require.NoError(t, b.RecordUsage(t.Context(), sample(b.keys[i/202])).Err())
	}
	before := b.dump(t)
	done, err := b.CleanupOldStats(t.Context(), 1).Get()
	require.NoError(t, err)
	require.Equal(t, Cleanup{DeletedRecords: 0, RemainingRecords: 201}, done)
	requireSameValues(t, before, b.dump(t))
	requireRefused(t, b.Cleanup(t.Context(), CleanupOptions{RetentionDays: 1, Rollups: true}).Err(), result.InvalidQuery, "rollups")
}
