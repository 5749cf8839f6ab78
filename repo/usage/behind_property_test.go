package usage

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestJournalIsExact lets two processes under write_behind and one that writes
// through record at the same time, requestIds given several times and to several
// of them included. In the end the ledger sums to what a list of the records does.
func TestJournalIsExact(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 0)
	repos := []*Repo{b.process(t).Repo, b.process(t).Repo, b.Repo}
	rapid.Check(t, func(rt *rapid.T) {
		key := b.addKey(t, "key "+uuid.NewString())
		g := generator{T: rt, keys: []string{key}, anchor: "2025-09-16T08:00:00Z"}
		want := model{names: map[string]string{}}
		var calls sync.WaitGroup
		for i, e := range g.entries() {
			want.records = append(want.records, e.Record)
			times := 1
			if rapid.Bool().Draw(rt, "requestId") {
				e.RequestID = strconv.Itoa(i)
				times = rapid.IntRange(1, 4).Draw(rt, "times")
			}
			for range times {
				r := repos[rapid.IntRange(0, len(repos)-1).Draw(rt, "process")]
				calls.Go(func() {
					if err := r.RecordUsage(t.Context(), e.Record).Err(); err != nil {
						t.Error(err)
					}
				})
			}
		}
		calls.Wait()
		b.requireDrained(t)
		q := StatsQuery{
			APIKeyID: key, StartDate: time.Date(2025, 9, 12, 0, 0, 0, 0, time.UTC), EndDate: time.Date(2025, 9, 21, 0, 0, 0, 0, time.UTC),
			Granularity: Day, GroupBy: ByAccount,
		}
		got, err := b.GetUsageStats(t.Context(), q).Get()
		require.NoError(t, err)
		require.Equal(rt, indented(t, want.stats(q, time.UTC)), indented(t, got))
	})
	require.Zero(t, b.length(t, b.refused()))
	b.requireRollupsEqualRecords(t)
}
