package cache_test

import (
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
)

const (
	takesNone  = "WARN relaystore: the journal takes nothing, all is written through until it does"
	takesAgain = "INFO relaystore: the journal takes writes again"
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
