package usage

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/strategy"
)

// redisBundle is a bundle whose usage and keys have their primary in a Redis of its own.
type redisBundle struct {
	*bundle

	stack *devstack.Stack
	redis rueidis.Client
}

var onRedis = strategy.Config{PrimaryStorage: strategy.PrimaryRedis, ReadStrategy: strategy.DatabaseFirst, WriteStrategy: strategy.WriteThrough}

var onPostgres = strategy.Config{PrimaryStorage: strategy.PrimaryPostgres, ReadStrategy: strategy.DatabaseFirst, WriteStrategy: strategy.WriteThrough}

// setupRedis makes some keys in Redis, named key 0, key 1 and so on.
func setupRedis(t *testing.T, keys int) *redisBundle {
	t.Helper()
	b := &redisBundle{bundle: setup(t, keys), stack: startStack(t, devstack.Options{SkipPostgres: true})}
	b.redis = testdb.RedisAt(t, b.stack.RedisURL)
	b.do(t, b.redis.B().ConfigSet().ParameterValue().ParameterValue("appendonly", "no").Build()) // no test kills it
	for i, k := range b.keys {
		b.do(t, b.redis.B().Hset().Key("apikey:"+k).FieldValue().FieldValue("id", k).FieldValue("name", fmt.Sprintf("key %d", i)).Build())
	}
	p := b.process(t, b.stack.RedisURL)
	for _, of := range []strategy.DataType{strategy.Usage, strategy.APIKey} {
		require.NoError(t, p.switches.Switch(t.Context(), of, onRedis).Err())
	}
	b.Repo = p.Repo
	return b
}

// redisProcess is as a process of its own.
type redisProcess struct {
	*Repo

	switches *strategy.Switches
}

func (b *redisBundle) process(t *testing.T, redisURL string) *redisProcess {
	t.Helper()
	return openOnRedis(t, b.url, redisURL)
}

func openOnRedis(t *testing.T, database, redisURL string) *redisProcess {
	t.Helper()
	primary := &strategy.Postgres{Pool: testdb.Pool(t, database), Retry: strategy.DefaultRetry, OpTimeout: time.Minute}
	connect := func(tune func(*rueidis.ClientOption)) (rueidis.Client, error) {
		o, err := rueidis.ParseURL(redisURL)
		if err != nil {
			return nil, err
		}
		o.DisableCache, o.DisableRetry, o.ForceSingleClient = true, true, true
		tune(&o)
		return rueidis.NewClient(o)
	}
	s := &strategy.Switches{
		Primary: primary, Machinery: strategy.Machinery{Redis: true}, Logger: slog.New(slog.DiscardHandler),
		Movers: map[strategy.DataType]strategy.Mover{strategy.Usage: noCopy{}, strategy.APIKey: noCopy{}},
		Redis: &strategy.Redis{
			Retry:     strategy.RetryPolicy{MaxRetries: 100, BaseDelay: 10 * time.Millisecond, MaxDelay: 100 * time.Millisecond},
			OpTimeout: time.Minute, Zone: time.FixedZone("", 8*3600),
			Connect: func() (rueidis.Client, error) { return connect(func(*rueidis.ClientOption) {}) },
			Watch: func(prefixes []string, changed func([]rueidis.RedisMessage)) (rueidis.Client, error) {
				return connect(func(o *rueidis.ClientOption) {
					o.DisableCache, o.OnInvalidations, o.ClientTrackingOptions = false, changed, []string{"BCAST"}
					for _, p := range prefixes {
						o.ClientTrackingOptions = append(o.ClientTrackingOptions, "PREFIX", p)
					}
				})
			},
		},
	}
	require.NoError(t, s.Look(t.Context()))
	s.Guard(primary)
	r := New(Config{
		Primary: primary.For(strategy.Usage), Place: s.Place(strategy.Usage), Keys: s.Place(strategy.APIKey), Accounts: s.Place(strategy.Account),
		Logger: slog.New(slog.DiscardHandler),
	})
	s.Start()
	t.Cleanup(func() {
		require.NoError(t, r.Close(context.Background()))
		s.Close()
		s.Redis.Close()
	})
	return &redisProcess{r, s}
}

// noCopy moves a primary and leaves the data where it is; before, if set, it waits.
type noCopy struct{ until chan struct{} }

func (c noCopy) ToRedis(context.Context, strategy.Move) error { return nil }

func (c noCopy) ToPostgres(ctx context.Context, _ strategy.Move) error {
	if c.until == nil {
		return nil
	}
	select {
	case <-c.until:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c noCopy) Compare(context.Context, strategy.Move) (int64, error) { return 0, nil }

func (b *redisBundle) do(t *testing.T, cmd rueidis.Completed) rueidis.RedisMessage {
	t.Helper()
	m, err := b.redis.Do(t.Context(), cmd).ToMessage()
	require.NoError(t, err)
	return m
}

// dump gives what a Redis holds, but for what is relaystore's own.
func (b *redisBundle) dump(t *testing.T) legacyDump {
	t.Helper()
	c := b.redis.B()
	var keys []string
	for cursor := uint64(0); ; {
		step, err := b.redis.Do(t.Context(), c.Scan().Cursor(cursor).Count(1000).Build()).AsScanEntry()
		require.NoError(t, err)
		for _, key := range step.Elements {
			if !strings.HasPrefix(key, "relaystore:") {
				keys = append(keys, key)
			}
		}
		if cursor = step.Cursor; cursor == 0 {
			break
		}
	}
	kinds := b.pipe(t, keys, func(key string) rueidis.Completed { return c.Type().Key(key).Build() })
	ttls := b.pipe(t, keys, func(key string) rueidis.Completed { return c.Ttl().Key(key).Build() })
	at, d := 0, legacyDump{}
	values := b.pipe(t, keys, func(key string) rueidis.Completed {
		kind, _ := kinds[at].ToString()
		at++
		switch kind {
		case "hash":
			return c.Hgetall().Key(key).Build()
		case "string":
			return c.Get().Key(key).Build()
		case "set":
			return c.Smembers().Key(key).Build()
		case "list":
			return c.Lrange().Key(key).Start(0).Stop(-1).Build()
		case "zset":
			return c.Zrange().Key(key).Min("0").Max("-1").Build()
		}
		return c.Xrange().Key(key).Start("-").End("+").Build()
	})
	for i, key := range keys {
		kind, _ := kinds[i].ToString()
		ttl, err := ttls[i].AsInt64()
		require.NoError(t, err)
		d[key] = valueOf(t, kind, ttl, values[i])
	}
	return d
}

func (b *redisBundle) pipe(t *testing.T, keys []string, command func(string) rueidis.Completed) (replies []rueidis.RedisMessage) {
	t.Helper()
	var cmds rueidis.Commands
	for _, key := range keys {
		cmds = append(cmds, command(key))
	}
	for _, reply := range b.redis.DoMulti(t.Context(), cmds...) {
		m, err := reply.ToMessage()
		require.NoError(t, err)
		replies = append(replies, m)
	}
	return replies
}

func valueOf(t *testing.T, kind string, ttl int64, m rueidis.RedisMessage) (v legacyValue) {
	t.Helper()
	var err error
	v.kind, v.ttl = kind, time.Duration(ttl)
	if ttl > 0 {
		v.ttl *= time.Second
	}
	switch kind {
	case "hash":
		v.hash, err = m.AsStrMap()
	case "string":
		v.text, err = m.ToString()
	case "stream":
		var entries []rueidis.XRangeEntry
		entries, err = m.AsXRange()
		for _, e := range entries {
			v.list = append(v.list, e.FieldValues["data"])
		}
	default:
		v.list, err = m.AsStrSlice()
	}
	require.NoError(t, err)
	return v
}

// empty takes away everything but the keys and the epochs.
func (b *redisBundle) empty(t *testing.T) {
	t.Helper()
	b.do(t, b.redis.B().Eval().Script(`for _, key in ipairs(redis.call('KEYS', '*')) do
		if not string.find(key, '^apikey:') and not string.find(key, '^relaystore:epoch') then redis.call('UNLINK', key) end
	end`+" return 1").Numkeys(0).Build())
}

// fixture gives a file of the legacy service's Redis; the test is skipped where it is not
// beside the project.
func fixture(t *testing.T, name string) io.Reader {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "..", "shared", "fixtures", "legacy-redis", name))
	if err != nil {
		t.Skip("the legacy service's Redis is not in ../shared/fixtures: ", err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if !strings.HasSuffix(name, ".gz") {
		return f
	}
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	return z
}

// load pipes commands into a Redis.
func (b *redisBundle) load(t *testing.T, commands io.Reader) {
	t.Helper()
	u, err := url.Parse(b.stack.RedisURL)
	require.NoError(t, err)
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", u.Host)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	sent := make(chan error, 1)
	go func() {
		password, _ := u.User.Password()
		_, err := fmt.Fprintf(conn, "AUTH %s\r\n", password)
		if err == nil {
			_, err = io.Copy(conn, commands)
		}
		if err == nil {
			_, err = fmt.Fprint(conn, "ECHO all-is-there\r\n")
		}
		sent <- err
	}()
	for in := bufio.NewScanner(conn); in.Scan(); {
		require.False(t, strings.HasPrefix(in.Text(), "-"), in.Text())
		if in.Text() == "all-is-there" {
			break
		}
	}
	require.NoError(t, <-sent)
}

func parsedIDs(t *testing.T, texts ...string) (ids []uuid.UUID) {
	t.Helper()
	for _, text := range texts {
		id, err := uuid.Parse(text)
		require.NoError(t, err)
		ids = append(ids, id)
	}
	return ids
}
