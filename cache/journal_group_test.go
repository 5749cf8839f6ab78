package cache_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Consumers that are gone are forgotten, never with entries.
func TestJournalForgetsConsumers(t *testing.T) {
	t.Parallel()
	b := setupJournals(t)
	b.options = b.options.Bounded(0, time.Millisecond)
	w := b.open()
	b.append(w, "read by the dead")
	require.NoError(t, b.run("XGROUP", "CREATE", b.stream, "ledger", "0").Error())
	require.NoError(t, b.run("XREADGROUP", "GROUP", "ledger", "holds", "COUNT", "1", "STREAMS", b.stream, ">").Error())
	require.NoError(t, b.run("XGROUP", "CREATECONSUMER", b.stream, "ledger", "has none").Error())
	b.becomes(func() bool { // who has just come is not silent for a millisecond yet
		require.NoError(t, w.Forget(t.Context()))
		return slices.Equal([]string{"holds"}, b.consumers())
	})
	require.EqualValues(t, 1, b.length(b.stream))
	w.Start(b.flush)
	b.drained()
	b.becomes(func() bool { return slices.Equal([]string{w.Consumer()}, b.consumers()) })
	require.Equal(t, 1, b.count("read by the dead"))
	require.Zero(t, w.Close(t.Context()))
	require.Empty(t, b.consumers(), "it forgets itself")
}

// The group and the stream may go at any time. What is appended later is read,
// and so is what a destroyed group had not settled.
func TestJournalGroupComesBack(t *testing.T) {
	t.Parallel()
	b, _ := privateJournals(t)
	w := b.open()
	b.append(w, "one")
	w.Start(b.flush)
	b.drained()
	for i, command := range [][]string{{"FLUSHALL"}, {"DEL", b.stream}, {"XGROUP", "DESTROY", b.stream, "ledger"}} {
		require.NoError(t, b.run(command...).Error())
		text := numbers(i + 1)[i]
		b.append(w, text)
		b.becomes(func() bool { return b.count(text) == 1 })
		b.drained()
	}
	require.Zero(t, w.Close(t.Context()))
	require.Empty(t, w.log.texts())
}

// A group is destroyed while its consumer holds entries: they are read again.
func TestJournalGroupDestroyedUnderWay(t *testing.T) {
	t.Parallel()
	b := setupJournals(t)
	w := b.open()
	b.append(w, "held")
	var destroyed sync.Once
	w.Start(func(entries []string) []error {
		outcomes := b.flush(entries)
		destroyed.Do(func() {
			require.NoError(t, b.run("XGROUP", "DESTROY", b.stream, "ledger").Error())
			outcomes[0] = errLater
		})
		return outcomes
	})
	b.drained()
	require.Equal(t, 2, b.count("held"))
	require.Zero(t, w.Close(t.Context()))
}
