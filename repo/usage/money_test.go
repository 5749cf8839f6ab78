package usage

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// TestMoneyIsExact sums amounts that a float would lose: a trillionth of a dollar
// thousands of times beside the largest amounts, pending and compacted, in one
// cell and in many.
func TestMoneyIsExact(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	start := at(t, "2025-09-16T00:00:00Z")
	var entries []entry
	for i := range 4000 {
		r := sample(b.keys[0])
		r.Cost = result.MustMoney("0.000000000001")
		if i%1000 == 0 {
			r.Cost = result.MustMoney("999999999999.999999999999")
		}
		r.Timestamp = start.Add(time.Duration(i%96) * cell)
		entries = append(entries, checked(t, r))
	}
	writeBatch(t, b, entries[:2500])
	require.NoError(t, b.compact(t.Context()))
	writeBatch(t, b, entries[2500:])
	// 4 × 999999999999.999999999999 + 3996 × 0.000000000001
	const want = "4000000000000.000000003992"
	for range 2 {
		for _, g := range []Granularity{Hour, Day} {
			s, err := b.GetUsageStats(t.Context(), StatsQuery{
				StartDate: start, EndDate: start.AddDate(0, 0, 1), Granularity: g, GroupBy: ByAPIKey,
			}).Get()
			require.NoError(t, err)
			require.Equal(t, want, s.Summary.TotalCost.String())
			var parts result.Money
			for _, bucket := range s.Stats {
				parts = parts.Add(bucket.APIKeys[b.keys[0]].Cost)
			}
			require.Equal(t, want, parts.String())
			// 4000000000000.000000003992 / 28000
			require.Equal(t, "142857142.857142857143", s.Summary.AverageCostPerToken.String())
		}
		require.NoError(t, b.compact(t.Context()))
	}
}

func TestAverageRoundsHalfEven(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cost   string
		tokens int64
		want   string
	}{
		{"1", 0, "0"},
		{"0", 5, "0"},
		{"0.000000000001", 2, "0"},
		{"0.000000000003", 2, "0.000000000002"},
		{"0.000000000005", 2, "0.000000000002"},
		{"0.000000000005", 10, "0"},
		{"0.000000000006", 10, "0.000000000001"},
		{"2", 3, "0.666666666667"},
		{"0.000000000001", MaxCount, "0"},
		{"999999999999.999999999999", 1, "999999999999.999999999999"},
		{"999999999999.999999999999", 2, "500000000000"},
	} {
		require.Equal(t, c.want, average(result.MustMoney(c.cost), c.tokens).String(), "%s / %d", c.cost, c.tokens)
	}
}
