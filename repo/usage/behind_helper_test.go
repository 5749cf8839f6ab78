package usage

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/strategy"
)

// patience is how long a condition may take to come true.
const patience = 2 * time.Minute

// journalBundle is a bundle with a journal, for processes under write_behind.
type journalBundle struct {
	*bundle

	redisURL string
	redis    rueidis.Client
	prefix   string
}

func setupJournal(t *testing.T, keys int) *journalBundle {
	t.Helper()
	return &journalBundle{bundle: setup(t, keys), redisURL: testdb.RedisURL(t), redis: testdb.Redis(t), prefix: testdb.Prefix(t)}
}

// process is a Repo under write_behind, and its log.
type process struct {
	*Repo
	log *logged
}

// silent opens a process that flushes nothing.
func (b *journalBundle) silent(t *testing.T, tune ...func(*cache.JournalOptions)) *process {
	t.Helper()
	p := &process{log: &logged{}}
	options := cache.JournalOptions{
		URL: b.redisURL, Prefix: b.prefix, Name: "usage", ClaimAfter: 300 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(p.log, nil)),
	}
	for _, f := range tune {
		f(&options)
	}
	journal, err := cache.OpenJournal(t.Context(), options)
	require.NoError(t, err)
	p.Repo = New(Config{
		Primary: &strategy.Postgres{Pool: testdb.Pool(t, b.url), Retry: strategy.DefaultRetry, OpTimeout: time.Minute},
		Logger:  options.Logger,
	})
	p.behind = newBehind(p.Repo, journal)
	t.Cleanup(func() { _ = p.Close(context.Background()) }) // what remains is the test's business
	return p
}

// process opens one that flushes.
func (b *journalBundle) process(t *testing.T, tune ...func(*cache.JournalOptions)) *process {
	t.Helper()
	p := b.silent(t, tune...)
	p.behind.journal.Start(p.flush)
	return p
}

func (b *journalBundle) stream() string { return b.prefix + "{journal}:usage" }

func (b *journalBundle) refused() string { return b.stream() + ":refused" }

// length is of a stream, in a Redis that may just have come back.
func (b *journalBundle) length(t *testing.T, stream string) (n int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		var err error
		n, err = b.redis.Do(t.Context(), b.redis.B().Xlen().Key(stream).Build()).AsInt64()
		return err == nil
	}, patience, time.Millisecond)
	return n
}

// requireDrained waits until everything is flushed.
func (b *journalBundle) requireDrained(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool { return b.length(t, b.stream()) == 0 }, patience, 5*time.Millisecond)
}

// addEntry puts anything into the stream.
func (b *journalBundle) addEntry(t *testing.T, name, value string) {
	t.Helper()
	require.NoError(t, b.redis.Do(t.Context(), b.redis.B().Xadd().Key(b.stream()).Id("*").FieldValue().FieldValue(name, value).Build()).Error())
}

// logged is a log.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// count tells how often a text stands in the log.
func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}
