package cache_test

import (
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
)

const (
	takesNone  = "WARN relaystore: the journal takes no usage, it is written through until it does"
	takesAgain = "INFO relaystore: the journal takes usage again"
)

func one(text string) [][]byte { return [][]byte{[]byte(text)} }

// The journal takes what fits, also of one call, and never more.
func TestJournalLimit(t *testing.T) {
	t.Parallel()
	b := setupJournals(t)
	b.options.Limit = 5
	w := b.open()
	n, err := w.Append(t.Context(), [][]byte{{'a'}, {'b'}, {'c'}})
	require.NoError(t, err)
	require.Equal(t, 3, n)
	n, err = w.Append(t.Context(), [][]byte{{'d'}, {'e'}, {'f'}})
	require.NoError(t, err)
	require.Equal(t, 2, n)
	var more sync.WaitGroup
	for range 20 {
		more.Go(func() {
			if n, err := w.Append(t.Context(), one("x")); n != 0 || err != nil {
				t.Error(n, err)
			}
		})
	}
	more.Wait()
	require.EqualValues(t, 5, b.length(b.stream))
	w.Start(b.flush)
	b.drained()
	require.Zero(t, w.Close(t.Context()))
	require.Equal(t, map[string]int{"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}, b.flushed)
}

// What Redis refuses is surely not there, and after some refusals nobody asks.
func TestJournalRefusedByRedis(t *testing.T) {
	t.Parallel()
	b, _ := privateJournals(t)
	w := b.open()
	require.NoError(t, b.run("SET", b.stream, "a text").Error())
	for range 10 {
		n, err := w.Append(t.Context(), one("x"))
		require.ErrorIs(t, err, cache.ErrJournalOff)
		require.Zero(t, n)
	}
	calls, err := b.run("INFO", "commandstats").ToString()
	require.NoError(t, err)
	require.Contains(t, calls, "cmdstat_xlen:calls=3,", "a breaker asks no more")
	require.NoError(t, b.run("DEL", b.stream).Error())
	b.becomes(func() bool { n, err := w.Append(t.Context(), one("x")); return n == 1 && err == nil })
	require.Zero(t, w.Close(t.Context()))
	require.Equal(t, []string{takesNone, takesAgain}, w.log.texts())
}

// A Redis without memory takes no entries, and gives those that it has.
func TestJournalWithoutMemory(t *testing.T) {
	t.Parallel()
	b, _ := privateJournals(t)
	w := b.open()
	b.append(w, numbers(10)...)
	full := make(chan struct{})
	w.Start(func(entries []string) []error {
		<-full
		return b.flush(entries)
	})
	require.Eventually(t, func() bool { return b.run("XPENDING", b.stream, "ledger").Error() == nil }, patience, time.Millisecond)
	require.NoError(t, b.run("CONFIG", "SET", "maxmemory", "1").Error())
	_, err := w.Append(t.Context(), one("x"))
	require.ErrorIs(t, err, cache.ErrJournalOff)
	close(full)
	b.drained()
	require.Len(t, b.flushed, 10)
	require.Zero(t, w.Close(t.Context()))
}

// A stopped Redis may have what it did not acknowledge. Nobody waits for it twice.
func TestJournalStopped(t *testing.T) {
	t.Parallel()
	b, stack := privateJournals(t)
	w := b.open()
	b.append(w, "before")
	pid := stack.PIDs()[0]
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	_, err := w.Append(t.Context(), one("late"))
	require.ErrorIs(t, err, cache.ErrJournalUnsure)
	b.becomes(func() bool { _, err = w.Append(t.Context(), one("more")); return err == cache.ErrJournalOff }) //nolint:errorlint // as it is
	_, err = w.Oldest(t.Context())
	require.Error(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	b.becomes(func() bool { n, err := w.Append(t.Context(), one("after")); return n == 1 && err == nil })
	w.Start(b.flush)
	b.drained()
	require.Zero(t, w.Close(t.Context()))
	require.Equal(t, 1, b.count("after"))
	require.Equal(t, []string{takesNone, takesAgain}, w.log.texts())
}

// With JournalReplicas an entry is acknowledged when a replica has it.
func TestJournalReplicas(t *testing.T) {
	t.Parallel()
	b, master := privateJournals(t)
	replicas, second := privateJournals(t)
	b.options.Replicas = 1
	w := b.open()
	n, err := w.Append(t.Context(), one("alone"))
	require.ErrorIs(t, err, cache.ErrJournalUnsure)
	require.Zero(t, n)
	require.EqualValues(t, 1, b.length(b.stream), "it is there, and not acknowledged")

	at, err := url.Parse(master.RedisURL)
	require.NoError(t, err)
	password, _ := at.User.Password()
	require.NoError(t, replicas.run("CONFIG", "SET", "masterauth", password).Error())
	require.NoError(t, replicas.run("REPLICAOF", at.Hostname(), at.Port()).Error())
	b.becomes(func() bool { n, err := w.Append(t.Context(), one("first")); return n == 1 && err == nil })

	var acked atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 25 {
				if n, err := w.Append(t.Context(), one("x")); n == 1 && err == nil {
					acked.Add(1)
				}
			}
		})
	}
	all.Wait()
	require.NoError(t, syscall.Kill(master.PIDs()[0], syscall.SIGKILL))
	require.NoError(t, replicas.run("REPLICAOF", "NO", "ONE").Error())
	require.GreaterOrEqual(t, replicas.length(b.stream), acked.Load()+1)

	b.options.URL = second.RedisURL
	b.redis = replicas.redis
	other := b.open()
	other.Start(b.flush)
	b.drained()
	require.Zero(t, other.Close(t.Context()))
	require.GreaterOrEqual(t, int64(b.count("x")), acked.Load())
}

// Open warns of what may cost acknowledged records, in one line.
func TestJournalWarns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings [][]string
		want     string
		health   [2]string
	}{
		"all well":  {nil, "", [2]string{"always", "noeviction"}},
		"everysec":  {[][]string{{"appendfsync", "everysec"}}, "", [2]string{"everysec", "noeviction"}},
		"snapshots": {[][]string{{"appendonly", "no"}, {"save", "3600 1"}}, "", [2]string{"snapshots", "noeviction"}},
		"evicts":    {[][]string{{"maxmemory-policy", "allkeys-lru"}}, "may lose", [2]string{"always", "allkeys-lru"}},
		"volatile":  {[][]string{{"maxmemory-policy", "volatile-ttl"}}, "may lose", [2]string{"always", "volatile-ttl"}},
		"keeps nothing": {
			[][]string{{"appendonly", "no"}, {"save", ""}, {"maxmemory-policy", "allkeys-lfu"}}, "may lose", [2]string{"nothing", "allkeys-lfu"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := privateJournals(t)
			for _, s := range c.settings {
				require.NoError(t, b.run("CONFIG", "SET", s[0], s[1]).Error())
			}
			requireWarning(t, b, c.want, c.health)
		})
	}
}

// A managed Redis that forbids CONFIG tells less.
func TestJournalWarnsOfWhatIsNotTold(t *testing.T) {
	t.Parallel()
	b, stack := privateJournals(t)
	require.NoError(t, b.run("ACL", "SETUSER", "managed", "on", ">secret", "~*", "&*", "+@all", "-config").Error())
	at, err := url.Parse(stack.RedisURL)
	require.NoError(t, err)
	at.User = url.UserPassword("managed", "secret")
	b.options.URL = at.String()
	requireWarning(t, b, "does not tell", [2]string{"unknown", "noeviction"})
	require.NoError(t, b.run("ACL", "SETUSER", "managed", "-info").Error())
	requireWarning(t, b, "does not tell", [2]string{"unknown", "unknown"})
	require.NoError(t, b.run("ACL", "SETUSER", "managed", "+info").Error())
	require.NoError(t, b.run("CONFIG", "SET", "maxmemory-policy", "allkeys-random").Error())
	requireWarning(t, b, "may lose", [2]string{"unknown", "allkeys-random"})
}

func requireWarning(t *testing.T, b *journals, want string, health [2]string) {
	t.Helper()
	w := b.open()
	defer w.Close(t.Context())
	if want == "" {
		require.Empty(t, w.log.texts())
	} else {
		require.Len(t, w.log.texts(), 1)
		require.Contains(t, w.log.texts()[0], "WARN")
		require.Contains(t, w.log.texts()[0], want)
	}
	var h cache.JournalHealth
	b.becomes(func() bool { var err error; h, err = w.Health(t.Context()); return err == nil })
	require.Equal(t, [2]string{h.Keeps, h.Policy}, health)
}

func TestJournalHealth(t *testing.T) {
	t.Parallel()
	b := setupJournals(t)
	w := b.open()
	health := func() (h cache.JournalHealth) {
		b.becomes(func() bool { var err error; h, err = w.Health(t.Context()); return err == nil })
		return h
	}
	require.Equal(t, cache.JournalHealth{Appending: true, Keeps: "always", Policy: "noeviction"}, health())
	b.append(w, numbers(3)...)
	b.becomes(func() bool { return health().Oldest > 20*time.Millisecond })
	require.EqualValues(t, 3, health().Unflushed)
	w.Start(func(entries []string) []error {
		outcomes := b.flush(entries)
		outcomes[0] = &cache.RefusedError{Reason: strings.Repeat("because ", 3)}
		return outcomes
	})
	b.drained()
	h := health()
	require.Positive(t, h.Refused)
	h.Refused = 0
	require.Equal(t, cache.JournalHealth{Appending: true, Keeps: "always", Policy: "noeviction"}, h)
	require.Zero(t, w.Close(t.Context()))
	_, err := w.Health(t.Context())
	require.Error(t, err)
}
