package cache_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testdb"
)

const (
	// patience is how long a condition may take to come true.
	patience = time.Minute
	kind     = "text"
	// These make processes fresh soon.
	fetchEvery   = 5 * time.Millisecond
	breakerPause = 50 * time.Millisecond
)

// key is for tests that need one.
var key = cache.KeyOf(1)

// bundle is one Redis with keys of the test's own, one primary and its drainer.
type bundle struct {
	t       *testing.T
	url     string
	redis   rueidis.Client
	options cache.Options
	source  cache.Source[string]
	primary *primary
	drainer *drainer
	proxy   *faultproxy.Proxy // before the processes that proxied opens
	through string            // the URL of the proxy
}

func setup(t *testing.T) *bundle {
	t.Helper()
	return setupOn(t, testdb.RedisURL(t), testdb.Redis(t), testdb.Prefix(t))
}

func setupOn(t *testing.T, url string, redis rueidis.Client, prefix string, tune ...func(*rueidis.ClientOption)) *bundle {
	t.Helper()
	b := &bundle{t: t, url: url, redis: redis, primary: newPrimary()}
	b.options = cache.Options{Prefix: prefix, MaxStaleness: time.Minute}.Paced(fetchEvery, breakerPause)
	if len(tune) > 0 {
		b.options.Tune = tune[0]
	}
	b.source = cache.Source[string]{
		Kind: kind, Load: b.primary.load, Size: 1000, Timeout: patience,
		Encode: func(s *string) ([]byte, error) { return []byte(*s), nil },
		Decode: func(b []byte) (*string, error) { s := string(b); return &s, nil },
	}
	b.proxy, b.through = faultproxy.Redis(t, url)
	d := b.open(url)
	b.drainer = &drainer{cache: d.Cache, log: d.log, primary: b.primary}
	b.drainer.start(t)
	return b
}

// process is one with a cache.
type process struct {
	*cache.Cache
	records *cache.Records[string]
	log     *lines
}

// process opens the cache of one more process, and waits until it is on.
func (b *bundle) process() *process { return b.fresh(b.open(b.url)) }

// proxied opens one behind the proxy.
func (b *bundle) proxied() *process { return b.fresh(b.open(b.through)) }

func (b *bundle) fresh(p *process) *process {
	b.t.Helper()
	b.becomes(func() bool { return p.Fresh(time.Now()) })
	return p
}

func (b *bundle) open(url string) *process {
	b.t.Helper()
	p := &process{log: &lines{}}
	options := b.options
	options.URL, options.Logger = url, slog.New(p.log)
	var err error
	p.Cache, err = cache.Open(b.t.Context(), options)
	require.NoError(b.t, err)
	b.t.Cleanup(p.Close)
	p.records = cache.NewRecords(p.Cache, b.source)
	return p
}

// get reads a record, "" for none.
func (b *bundle) get(p *process, key cache.Key) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience) // a read that joins a held one fails by name
	defer cancel()
	text, err := p.records.Get(ctx, &key, time.Now())
	require.NoError(b.t, err)
	if text == nil {
		return ""
	}
	return *text
}

// evict is what a writer does after its commit.
func (b *bundle) evict(p *process, keys ...cache.Key) {
	p.records.Evict(b.t.Context(), b.primary.clock, keys...)
}

// write is a writer's whole update.
func (b *bundle) write(p *process, key cache.Key, text string) {
	b.primary.set(key, text)
	b.evict(p, key)
}

// loaded tells whether a read asks the primary.
func (b *bundle) loaded(p *process, key cache.Key) bool {
	b.t.Helper()
	before := b.primary.reads.Load()
	b.get(p, key)
	return b.primary.reads.Load() > before
}

// cached reads until a process has the primary's text from its cache: pushes that
// are still under way make misses.
func (b *bundle) cached(p *process, key cache.Key, text string) {
	b.t.Helper()
	b.becomes(func() bool {
		before := b.primary.reads.Load()
		return b.get(p, key) == text && b.primary.reads.Load() == before
	})
}

// raw is what Redis holds for a key, "" for nothing.
func (b *bundle) raw(key cache.Key) string {
	b.t.Helper()
	text, err := b.redis.Do(b.t.Context(), b.redis.B().Get().Key(b.drainer.cache.Name(kind, key)).Build()).ToString()
	if rueidis.IsRedisNil(err) {
		return ""
	}
	require.NoError(b.t, err)
	return text
}

// stored is the record that Redis holds for a key, "" for none.
func (b *bundle) stored(key cache.Key) string {
	b.t.Helper()
	start, text, _ := strings.Cut(b.raw(key), " ")
	if !strings.HasPrefix(start, "v") {
		return ""
	}
	return text
}

// looksAtAFill is after how many looks a fill is taken for lost.
const looksAtAFill = 2000

// filled reads until Redis has what the process reads. On a busy machine a fill may come
// to nothing, and only a miss makes another: then the process is told of a change.
func (b *bundle) filled(p *process, key cache.Key, text string) {
	b.t.Helper()
	looks := 0
	b.becomes(func() bool {
		if looks++; looks%looksAtAFill == 0 {
			name := p.PushName(kind, key)
			for _, cmd := range []rueidis.Completed{b.redis.B().Set().Key(name).Value("").Build(), b.redis.B().Del().Key(name).Build()} {
				require.NoError(b.t, b.redis.Do(b.t.Context(), cmd).Error())
			}
		}
		return b.get(p, key) == text && b.stored(key) == text
	})
}

// drop takes a key out of Redis, as a full Redis does.
func (b *bundle) drop(key cache.Key) {
	b.t.Helper()
	require.NoError(b.t, b.redis.Do(b.t.Context(), b.redis.B().Del().Key(b.drainer.cache.Name(kind, key)).Build()).Error())
}

// settled waits until every change has been told, and takes the tombstone away.
func (b *bundle) settled(key cache.Key) {
	b.t.Helper()
	b.becomes(func() bool { keys, _ := b.primary.take(); return len(keys) == 0 })
	b.drop(key)
}

func (b *bundle) becomes(condition func() bool) {
	b.t.Helper()
	require.Eventually(b.t, condition, patience, time.Millisecond)
}

// lines is a log.
type lines struct {
	slog.Handler
	mu  sync.Mutex
	all []string
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, r.Level.String()+" "+r.Message)
	return nil
}

func (l *lines) texts() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, l.all...)
}
