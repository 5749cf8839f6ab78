package cache_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
)

// Refused entries are put aside with their reason, up to a bound; then they stay
// and are not lost.
func TestJournalRefuses(t *testing.T) {
	t.Parallel()
	b := setupJournals(t)
	b.options = b.options.Bounded(3, 0)
	w := b.open()
	texts := numbers(5)
	b.append(w, texts...)
	w.Start(func(entries []string) []error {
		outcomes := make([]error, len(entries))
		for i, e := range entries {
			if slices.Contains(texts, e) {
				outcomes[i] = &cache.RefusedError{Reason: "because"}
			}
		}
		b.flush(entries)
		return outcomes
	})
	b.becomes(func() bool { return b.length(b.refused) == 3 && b.count("4") > 1 })
	require.EqualValues(t, 2, b.length(b.stream))
	b.append(w, "good")
	b.becomes(func() bool { return b.count("good") == 1 })
	require.NoError(t, b.run("XTRIM", b.refused, "MAXLEN", "1").Error())
	b.drained()
	require.EqualValues(t, 3, b.length(b.refused))
	require.Zero(t, w.Close(t.Context()))
	entries, err := b.run("XRANGE", b.refused, "-", "+").AsXRange()
	require.NoError(t, err)
	for i, e := range entries {
		require.Equal(t, texts[i+2], e.FieldValues["e"])
		require.Equal(t, "because", e.FieldValues["reason"])
	}
	require.Equal(t, []string{
		"WARN relaystore: entries of the journal cannot be flushed and are put aside",
		"WARN relaystore: the journal cannot be flushed, it keeps what it has until it can",
		"INFO relaystore: the journal is flushed",
	}, w.log.texts())
}

// An entry is deleted by hand while it is pending: there is nothing to keep.
func TestJournalEntryDeletedByHand(t *testing.T) {
	t.Parallel()
	b := setupJournals(t)
	w := b.open()
	b.append(w, "deleted", "kept")
	var deleted sync.Once
	w.Start(func(entries []string) []error {
		outcomes := b.flush(entries)
		for i, e := range entries {
			deleted.Do(func() {
				first, err := b.run("XRANGE", b.stream, "-", "+", "COUNT", "1").AsXRange()
				require.NoError(t, err)
				require.NoError(t, b.run("XDEL", b.stream, first[0].ID).Error())
				outcomes[0], outcomes[1] = errLater, errLater
			})
			if e == "" {
				outcomes[i] = &cache.RefusedError{Reason: "nothing is there"}
			}
		}
		return outcomes
	})
	b.becomes(func() bool { return b.length(b.refused) == 1 })
	b.drained()
	require.Equal(t, 2, b.count("kept"))
	require.Equal(t, 1, b.count("deleted"))
	require.Zero(t, w.Close(t.Context()))
}
