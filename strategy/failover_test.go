package strategy_test

import (
	"context"
	"encoding/hex"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/testdb"
)

// failover is a writer's process and another one, both with tables too small for
// their keys, so that they look into Redis all the time.
type failover struct {
	*outboxBundle

	pair          *testdb.Pair
	keys          []cache.Key
	writer, other *cache.Records[string]
	on            []*cache.Cache

	mu    sync.Mutex
	wrong []string
}

// most of the keys; a few stay in the process's table and are never asked of Redis.
const manyKeys, most = 50, 40

func setupFailover(t *testing.T) *failover {
	t.Helper()
	pair := testdb.RedisPair(t)
	f := &failover{pair: pair, outboxBundle: setupOutbox(t, func(o *cache.Options) {
		o.URL, o.Tune, o.Prefix, o.MaxStaleness = pair.URL, pair.Tune, "pair:", 2*time.Second
	})}
	var one, two *cache.Cache
	one, f.writer = f.process(1)
	two, f.other = f.process(1)
	f.on = []*cache.Cache{one, two}
	f.drain()
	for range manyKeys {
		f.keys = append(f.keys, f.insert(uuid.NewString()))
	}
	f.exec("UPDATE api_keys SET name = 'old'")
	second := testdb.RedisAt(t, pair.Second.URL())
	f.eventually(func() bool {
		f.read(f.other, func(cache.Key, string, time.Time) {})
		return f.records(second, "old") >= most
	})
	return f
}

// records counts the records of a text that a server holds.
func (f *failover) records(server rueidis.Client, text string) (n int) {
	f.Helper()
	for _, key := range f.keys {
		held, _ := server.Do(f.Context(), server.B().Get().Key(f.options.Prefix+"apikey:"+hex.EncodeToString(key[:])).Build()).ToString()
		if strings.HasPrefix(held, "v") && strings.HasSuffix(held, " "+text) {
			n++
		}
	}
	return n
}

// read asks for each key, and hands on what it got and when it asked.
func (f *failover) read(by *cache.Records[string], got func(cache.Key, string, time.Time)) {
	for _, key := range f.keys {
		begun := time.Now()
		text, err := by.Get(f.Context(), &key, begun)
		if err != nil {
			got(key, err.Error(), begun)
			continue
		}
		got(key, *text, begun)
	}
}

func (f *failover) fail(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wrong = append(f.wrong, what)
}

// watchWriter reads until ctx ends: its process must not give an old record at all.
func (f *failover) watchWriter(ctx context.Context) {
	for ctx.Err() == nil {
		f.read(f.writer, func(_ cache.Key, text string, _ time.Time) {
			if text != "new" {
				f.fail("the writer's process: " + text)
			}
		})
	}
}

// watchOther reads until ctx ends: another process must not give an old record beyond
// MaxStaleness, nor after it has given the new one.
func (f *failover) watchOther(ctx context.Context, written time.Time) {
	seen := make(map[cache.Key]bool)
	for ctx.Err() == nil {
		f.read(f.other, func(key cache.Key, text string, begun time.Time) {
			if text != "new" && (seen[key] || begun.After(written.Add(f.options.MaxStaleness))) {
				f.fail("another process: " + text)
			}
			seen[key] = seen[key] || text == "new"
		})
	}
}

// A master dies, stops with its sockets open, or is demoted, and its replica, which
// has not heard of the last write, takes its place.
func TestSentinelFailover(t *testing.T) {
	for name, end := range map[string]func(*testdb.Pair){
		"killed":  func(p *testdb.Pair) { p.First.Kill() },
		"stopped": func(p *testdb.Pair) { _ = syscall.Kill(p.First.PID(), syscall.SIGSTOP) },
		"demoted": (*testdb.Pair).FailOver,
	} {
		t.Run(name, func(t *testing.T) {
			f := setupFailover(t)
			f.pair.Detach()
			f.exec("UPDATE api_keys SET name = 'new'")
			f.writer.Evict(t.Context(), func(context.Context) int64 { return time.Now().UnixMicro() }, f.keys...)
			written := time.Now()
			ctx, stop := context.WithCancel(t.Context())
			var watching sync.WaitGroup
			defer func() { stop(); watching.Wait() }()
			watching.Go(func() { f.watchWriter(ctx) })
			watching.Go(func() { f.watchOther(ctx, written) })
			f.eventually(func() bool { return f.waiting() == 0 })
			second := testdb.RedisAt(t, f.pair.Second.URL())
			require.GreaterOrEqual(t, f.records(second, "old"), most, "it has not heard")

			epoch := f.epoch()
			end(f.pair)
			f.eventually(func() bool { return f.on[0].Epoch() > epoch && f.on[1].Epoch() > epoch })
			f.eventually(func() bool { return f.records(second, "new") >= most })
			stop()
			watching.Wait()
			require.Empty(t, f.wrong)
		})
	}
}
