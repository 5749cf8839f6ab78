package usage

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// nights are moments at which a zone's clocks did something, and others.
var nights = []struct {
	zone string
	at   string
}{
	{"UTC", "2024-02-29T00:00:00Z"},
	{"Asia/Kolkata", "2024-12-31T18:30:00Z"},
	{"Asia/Kathmandu", "2025-06-30T18:15:00Z"},
	{"Asia/Shanghai", "2025-09-30T16:00:00Z"},
	{"America/New_York", "2025-03-09T07:00:00Z"},
	{"America/New_York", "2025-11-02T06:00:00Z"},
	{"Australia/Lord_Howe", "2025-04-05T15:00:00Z"},
	{"Australia/Lord_Howe", "2025-10-04T15:30:00Z"},
	{"America/St_Johns", "2010-03-14T03:31:00Z"},
	{"America/St_Johns", "2010-11-07T02:31:00Z"},
	{"America/St_Johns", "2009-11-01T02:31:00Z"}, // a night that is the turn of a month, too
	{"Africa/Casablanca", "2025-02-23T02:00:00Z"},
	{"Africa/Casablanca", "2025-04-06T02:00:00Z"},
	{"Pacific/Apia", "2011-12-30T10:00:00Z"},
}

// TestStatsEqualTheRecords compares every figure with a sum over the list of
// records, some of them compacted, some pending, some both.
func TestStatsEqualTheRecords(t *testing.T) {
	t.Parallel()
	b := setup(t, 3)
	m := model{names: b.nameAccounts(t)}
	for i, k := range b.keys {
		m.names[k] = fmt.Sprintf("key %d", i)
	}
	rapid.Check(t, func(rt *rapid.T) {
		b.exec(t, `TRUNCATE usage_records, usage_pending, usage_rollups, usage_rollups_hourly, usage_rollups_daily,
			usage_rollups_global, usage_rollups_global_daily, usage_totals`)
		m.records = nil
		g := generator{rt, b.keys, rapid.SampledFrom(nights).Draw(rt, "night").at}
		for range rapid.IntRange(1, 5).Draw(rt, "batches") {
			entries := g.entries()
			writeBatch(t, b, entries)
			for _, e := range entries {
				m.records = append(m.records, e.Record)
			}
			if rapid.Bool().Draw(rt, "compact") {
				require.NoError(t, b.compact(t.Context()))
			}
		}
		for range rapid.IntRange(1, 8).Draw(rt, "queries") {
			q := g.query()
			loc, err := time.LoadLocation(q.TimeZone)
			require.NoError(t, err)
			got, err := b.GetUsageStats(t.Context(), q).Get()
			require.NoError(t, err)
			require.Equal(rt, indented(t, m.stats(q, loc)), indented(t, got), "%+v", q)
		}
	})
}

func indented(t *testing.T, answer any) string {
	t.Helper()
	out, err := json.MarshalIndent(answer, "", " ")
	require.NoError(t, err)
	return string(out)
}

// writeBatch writes entries in one batch, as callers that come together do.
func writeBatch(t *testing.T, b *bundle, entries []entry) {
	t.Helper()
	for _, w := range b.writer.write(t.Context(), entries) {
		require.Equal(t, outcome{}, w.outcome)
	}
}

// queued makes a batch of entries whose callers do not wait.
func queued(entries ...entry) []*waiting {
	batch, _ := await(entries)
	return batch
}
