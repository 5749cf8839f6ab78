package usage

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// What the ledger gets from the journal is what it would have got at once.
func TestEntriesSurviveTheJournal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		g := generator{T: rt, keys: []string{uuid.NewString(), uuid.NewString()}, anchor: "2025-09-16T08:00:00Z"}
		for _, e := range g.entries() {
			got, err := decodeEntry(string(e.encode()))
			require.NoError(rt, err)
			require.Equal(rt, newColumns(queued(e)).requestHashes, newColumns(queued(got)).requestHashes)
			a, b := newColumns(queued(e)), newColumns(queued(got))
			require.True(rt, a.costs[0].Equal(b.costs[0].Decimal))
			a.costs, b.costs = nil, nil
			require.Equal(rt, a, b)
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	good := entry{id: uuid.New(), key: uuid.New(), Record: Record{Model: "m", RequestCount: 1, Timestamp: time.Now().UTC()}}
	for _, seed := range []string{"", "1", "1{}", "2{}", "1null", string(good.encode()), string(good.encode()) + "x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := decodeEntry(text)
		if err != nil {
			return
		}
		require.NotEqual(t, uuid.Nil, e.id)
		require.NotEqual(t, uuid.Nil, e.key)
		require.NoError(t, e.checkCounts())
		require.NoError(t, e.checkTexts())
		again, err := decodeEntry(string(e.encode()))
		require.NoError(t, err)
		require.Equal(t, e.Timestamp, again.Timestamp)
		require.True(t, e.Cost.Equal(again.Cost))
	})
}

// TestBadEntriesArePutAside lets no entry stop those behind it: none that nobody
// here has written, and none that the database refuses.
func TestBadEntriesArePutAside(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	p := b.silent(t)
	good := func() { require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err()) }
	text := string(checked(t, sample(b.keys[0])).encode())
	change := func(old, with string) string {
		require.Contains(t, text, old)
		return strings.Replace(text, old, with, 1)
	}
	late := checked(t, sample(b.keys[0]))
	late.Timestamp = time.Now().UTC().Add(40 * 24 * time.Hour)
	early := late
	early.Timestamp = firstTime.Add(-time.Microsecond)
	stranger := checked(t, sample(uuid.NewString()))
	bad := []string{
		"", "1", "1{}", "1null", text[1:], "2" + text[1:], text + "{}", text[:len(text)-1], change(`"id"`, `"xd"`),
		change(`"requests":1`, `"requests":-1`), change(`"requests":1`, `"requests":9223372036854775807`),
		change(`"cost":0.001`, `"cost":1e12`), change(`"cost":0.001`, `"cost":-1`), change(`"model":"m"`, `"model":""`),
		change(`"model":"m"`, `"model":"\u0000"`), string(late.encode()), string(early.encode()), string(stranger.encode()),
	}
	good()
	for _, data := range bad {
		b.addEntry(t, "e", data)
		good()
	}
	b.addEntry(t, "other", "field")
	good()
	p.behind.journal.Start(p.flush)
	b.requireDrained(t)
	b.requireRequests(t, int64(len(bad)+2))
	require.EqualValues(t, len(bad)+1, b.length(t, b.refused()))
	require.Equal(t, 1, p.log.count("cannot be flushed and are put aside"))
	require.Zero(t, p.log.count("it keeps what it has"))
	all, err := b.redis.Do(t.Context(), b.redis.B().Xrange().Key(b.refused()).Start("-").End("+").Build()).AsXRange()
	require.NoError(t, err)
	kept := make(map[string]string)
	for _, e := range all {
		require.NotEmpty(t, e.FieldValues["id"])
		kept[e.FieldValues["e"]+e.FieldValues["other"]] = e.FieldValues["reason"]
	}
	for _, data := range append(bad, "field") {
		require.NotEmpty(t, kept[data], data)
	}
	require.Equal(t, "no such key", kept[string(stranger.encode())])
}

// A database in disorder refuses nobody's records: they stay until it works.
func TestDisorderKeepsEntries(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	p := b.silent(t)
	const records = 20
	for range records {
		require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	}
	b.exec(t, "ALTER TABLE usage_pending RENAME TO gone")
	p.behind.journal.Start(p.flush)
	require.Eventually(t, func() bool { return p.log.count("it keeps what it has until it can") == 1 }, patience, time.Millisecond)
	require.Equal(t, 1, p.log.count(`reason="DB_INTERNAL: `))
	require.EqualValues(t, records, b.length(t, b.stream()))
	require.Zero(t, b.length(t, b.refused()))
	b.exec(t, "ALTER TABLE gone RENAME TO usage_pending")
	b.requireDrained(t)
	b.requireRequests(t, records)
	require.Equal(t, 1, p.log.count("the journal is flushed"))
}

// One entry that breaks the ledger from inside is its own fault when it works for
// others.
func TestInternalIsTheEntrysFaultWhereOthersPass(t *testing.T) {
	t.Parallel()
	failed := outcome{err: result.New(result.Internal, "x")}
	require.ErrorIs(t, failed.flushed(false), result.Internal)
	require.NotErrorIs(t, failed.flushed(true), result.Internal)
	require.Error(t, failed.flushed(true))
	for _, code := range []result.Code{result.ConnectionFailed, result.QueryTimeout, result.PoolExhausted, result.ReadOnly, result.TransactionConflict} {
		require.ErrorIs(t, outcome{err: code}.flushed(true), code)
	}
}
