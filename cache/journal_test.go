package cache_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
)

var errLater = errors.New("later")

// A backlog of several batches is flushed, each entry once and in order.
func TestJournalFlushes(t *testing.T) {
	t.Parallel()
	b := setupJournals(t)
	w := b.open()
	texts := numbers(2*cache.ReadBatch + 500)
	b.append(w, texts...)
	var got []string
	w.Start(func(entries []string) []error {
		got = append(got, entries...)
		return make([]error, len(entries))
	})
	b.drained()
	require.Zero(t, w.Close(t.Context()))
	require.Equal(t, texts, got)
	require.Empty(t, w.log.texts())
}

// Entries whose flush fails are flushed again, those beside them are not, and
// new ones go on meanwhile. The log has a line for each change.
func TestJournalFlushesAgain(t *testing.T) {
	t.Parallel()
	b := setupJournals(t)
	b.options.ClaimAfter = time.Hour // its own it reads without
	w := b.open()
	b.append(w, numbers(10)...)
	var healed atomic.Bool
	w.Start(func(entries []string) []error {
		outcomes := b.flush(entries)
		for i, e := range entries {
			if e == "5" && !healed.Load() {
				outcomes[i] = errLater
			}
		}
		return outcomes
	})
	b.becomes(func() bool { return b.count("5") > 2 })
	b.append(w, "new")
	b.becomes(func() bool { return b.count("new") == 1 })
	require.EqualValues(t, 1, b.length(b.stream))
	healed.Store(true)
	b.drained()
	for _, text := range []string{"0", "4", "6", "9", "new"} {
		require.Equal(t, 1, b.count(text), text)
	}
	b.becomes(func() bool { return len(w.log.texts()) == 2 })
	require.Zero(t, w.Close(t.Context()))
	require.Equal(t, []string{
		"WARN relaystore: the journal cannot be flushed, it keeps what it has until it can", "INFO relaystore: the journal is flushed",
	}, w.log.texts())
}

// Connections break at any moment, with commands and replies under way: nothing
// is lost, and what is refused is put aside once.
func TestJournalConnectionsBreak(t *testing.T) {
	t.Parallel()
	b := setupJournals(t)
	b.options.ClaimAfter = time.Hour
	feeder := b.open()
	texts := numbers(3 * cache.ReadBatch)
	b.append(feeder, texts...)
	proxy, through := faultproxy.Redis(t, b.options.URL)
	b.options.URL = through
	w := b.open()
	w.Start(func(entries []string) []error {
		outcomes := b.flush(entries)
		for i, e := range entries {
			if strings.HasSuffix(e, "7") {
				outcomes[i] = &cache.RefusedError{Reason: "seven"}
			}
		}
		return outcomes
	})
	bytes, cuts := int64(2_003), 0
	cut := proxy.After(faultproxy.ToClient, bytes, faultproxy.CutBefore)
	b.becomes(func() bool {
		select {
		case <-cut:
			bytes, cuts = bytes+bytes/2, cuts+1
			cut = proxy.After(faultproxy.Direction(bytes%2), bytes, faultproxy.CutBefore)
		default:
		}
		return b.length(b.stream) == 0
	})
	require.Greater(t, cuts, 3, "few connections broke")
	require.EqualValues(t, len(texts)/10, b.length(b.refused))
	for _, text := range texts {
		require.Positive(t, b.count(text), text)
	}
	require.Zero(t, w.Close(t.Context()))
	require.Zero(t, feeder.Close(t.Context()))
}

// A consumer is held up with what it has read, as a process that was suspended
// is. Others take over, and what it does late changes nothing.
func TestJournalClaims(t *testing.T) {
	t.Parallel()
	b := setupJournals(t)
	slow, other := b.open(), b.open()
	texts := numbers(cache.ReadBatch + 10)
	b.append(slow, texts...)
	reading, goOn := make(chan int, 10), make(chan struct{})
	var once sync.Once
	refuseFirst := func(entries []string) []error {
		outcomes := b.flush(entries)
		if entries[0] == "0" {
			outcomes[0] = &cache.RefusedError{Reason: "first"}
		}
		return outcomes
	}
	slow.Start(func(entries []string) []error {
		reading <- len(entries)
		<-goOn
		return refuseFirst(entries)
	})
	defer once.Do(func() { close(goOn) })
	require.Equal(t, cache.ReadBatch, <-reading)
	other.Start(refuseFirst)
	b.drained()
	once.Do(func() { close(goOn) })
	b.append(slow, "after")
	b.becomes(func() bool { return b.count("after") == 1 })
	b.becomes(func() bool { return b.count("0") == 2 })
	require.Zero(t, slow.Close(t.Context()))
	require.Zero(t, other.Close(t.Context()))
	require.Zero(t, b.length(b.stream))
	require.EqualValues(t, 1, b.length(b.refused))
	for _, text := range texts {
		require.Positive(t, b.count(text), text)
	}
}
