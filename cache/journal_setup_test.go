package cache_test

import (
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/internal/testdb"
)

// journals are processes with one journal, and what they have flushed.
type journals struct {
	t       *testing.T
	redis   rueidis.Client
	options cache.JournalOptions
	stream  string
	refused string

	mu      sync.Mutex
	flushed map[string]int
}

func setupJournals(t *testing.T) *journals {
	t.Helper()
	return journalsOn(t, testdb.RedisURL(t), testdb.Redis(t), testdb.Prefix(t))
}

// privateJournals is on a Redis that no other test uses.
func privateJournals(t *testing.T) (*journals, *devstack.Stack) {
	t.Helper()
	stack, err := devstack.Start(t.Context(), devstack.Options{SkipPostgres: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stack.Close()) })
	return journalsOn(t, stack.RedisURL, clientOf(t, stack.RedisURL), "private:"), stack
}

func clientOf(t *testing.T, url string) rueidis.Client {
	t.Helper()
	opt, err := rueidis.ParseURL(url)
	require.NoError(t, err)
	client, err := rueidis.NewClient(opt)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func journalsOn(t *testing.T, url string, redis rueidis.Client, prefix string) *journals {
	t.Helper()
	b := &journals{t: t, redis: redis, flushed: make(map[string]int), stream: prefix + "{journal}:texts"}
	b.refused = b.stream + ":refused"
	b.options = cache.JournalOptions{URL: url, Prefix: prefix, Name: "texts", ClaimAfter: 200 * time.Millisecond}
	return b
}

// writer is a process whose consumer does not run.
type writer struct {
	*cache.Journal
	log *lines
}

func (b *journals) open() *writer {
	b.t.Helper()
	w := &writer{log: &lines{}}
	options := b.options
	options.Logger = slog.New(w.log)
	var err error
	w.Journal, err = cache.OpenJournal(b.t.Context(), options)
	require.NoError(b.t, err)
	return w
}

// append puts texts into the journal, all of which it must take.
func (b *journals) append(w *writer, texts ...string) {
	b.t.Helper()
	entries := make([][]byte, len(texts))
	for i, text := range texts {
		entries[i] = []byte(text)
	}
	n, err := w.Append(b.t.Context(), entries)
	require.NoError(b.t, err)
	require.Equal(b.t, len(texts), n)
}

func numbers(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = strconv.Itoa(i)
	}
	return texts
}

// flush commits everything.
func (b *journals) flush(entries []string) []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range entries {
		b.flushed[e]++
	}
	return make([]error, len(entries))
}

func (b *journals) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flushed[text]
}

func (b *journals) length(stream string) int64 {
	b.t.Helper()
	n, err := b.redis.Do(b.t.Context(), b.redis.B().Xlen().Key(stream).Build()).AsInt64()
	require.NoError(b.t, err)
	return n
}

func (b *journals) drained() {
	b.t.Helper()
	b.becomes(func() bool { return b.length(b.stream) == 0 })
}

func (b *journals) becomes(condition func() bool) {
	b.t.Helper()
	require.Eventually(b.t, condition, patience, time.Millisecond)
}

// run sends a command and gives what Redis says.
func (b *journals) run(args ...string) rueidis.RedisResult {
	b.t.Helper()
	return b.redis.Do(b.t.Context(), b.redis.B().Arbitrary(args...).Build())
}

// consumers are the names in the group.
func (b *journals) consumers() (names []string) {
	b.t.Helper()
	all, err := b.run("XINFO", "CONSUMERS", b.stream, "ledger").ToArray()
	require.NoError(b.t, err)
	for _, c := range all {
		info, err := c.AsStrMap()
		require.NoError(b.t, err)
		names = append(names, info["name"])
	}
	slices.Sort(names)
	return names
}
