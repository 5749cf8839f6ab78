package importer

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// An hour that has moved is found out although its day is right.
func TestHoursAreCompared(t *testing.T) {
	t.Parallel()
	h := newHistory(usage.ScopeKey, uuid.New())
	dollar := decimal.New(1, 0)
	for _, c := range []counted{
		{Kind: legacy.KeyModelUsage, Resolution: legacy.Hour, Bucket: "2026-11-02:07"},
		{Kind: legacy.KeyModelUsage, Resolution: legacy.Day, Bucket: "2026-11-02"},
	} {
		c.Model, c.Counter = "m", legacy.Counter{Requests: 1, Input: 2, Total: 2, RatedMicro: 1_000_000}
		h.add(&c)
		h.at(c.Resolution, c.Bucket).cost = &dollar
	}
	b := &builder{history: h, zone: legacy.Offset(-5), now: time.Now()}
	b.build()
	compared := func(target []usage.ImportedSpan) (all []Compared, unexplained int) {
		rep, err := newReport(t.TempDir())
		require.NoError(t, err)
		t.Cleanup(rep.Close)
		require.NoError(t, (&run{report: rep}).compare(b, target))
		require.NoError(t, rep.Each(func(Skipped) error { return nil }, func(c Compared) error {
			all = append(all, c)
			return nil
		}))
		return all, rep.Unexplained
	}
	target := b.planned()
	all, unexplained := compared(target)
	require.Len(t, all, 1, "hours that are right are not told")
	require.Zero(t, unexplained)
	require.Equal(t, usage.SpanHour, target[0].Resolution)
	target[0].Start = target[0].Start.Add(time.Hour)
	all, unexplained = compared(target)
	require.Equal(t, 1, unexplained)
	require.Len(t, all, 2)
	require.Equal(t, []string{"hour", "2026-11-02:07"}, []string{all[1].Period, all[1].Bucket})
}

// That a bucket's cost is not known, or contradicts others, explains no token that is
// missing.
func TestCostsExplainNoCounts(t *testing.T) {
	t.Parallel()
	h := newHistory(usage.ScopeKey, uuid.New())
	for day, figures := range map[string]legacy.Counter{"2026-11-02": {Requests: 1, Input: 2, Total: 2, RatedMicro: -1}, "2026-11-03": {Requests: 1, Input: 2, Total: 2, RatedMicro: 5}} {
		h.add(&counted{Kind: legacy.KeyModelUsage, Resolution: legacy.Day, Bucket: day, Model: "m", Counter: figures})
	}
	b := &builder{history: h, zone: legacy.Offset(8), now: time.Now()}
	b.build()
	b.note(legacy.Day, "2026-11-03", finerCostMore)
	for name, change := range map[string]struct {
		target      func(*usage.ImportedSpan)
		unexplained int
	}{
		"nothing": {func(*usage.ImportedSpan) {}, 0},
		"cost":    {func(s *usage.ImportedSpan) { s.Cost = result.MustMoney("1") }, 0},
		"tokens":  {func(s *usage.ImportedSpan) { s.InputTokens-- }, 2},
	} {
		rep, err := newReport(t.TempDir())
		require.NoError(t, err)
		t.Cleanup(rep.Close)
		target := b.planned()
		for i := range target {
			change.target(&target[i])
		}
		require.NoError(t, (&run{report: rep}).compare(b, target))
		require.Equal(t, change.unexplained, rep.Unexplained, name)
	}
}

// Models whose names cannot be written add up, in whatever order and however often they
// come.
func TestUnknownModelsAddUp(t *testing.T) {
	t.Parallel()
	one := counted{Kind: legacy.KeyModelUsage, Resolution: legacy.Day, Bucket: "2026-11-02", Model: unknownModel, Counter: legacy.Counter{Requests: 1, RatedMicro: -1}}
	two, three := one, one
	one.Key, two.Key, three.Key = "one", "two", "unknown"
	one.Damaged, two.Damaged = true, true
	two.Counter.Requests, three.Counter.Requests = 10, 100
	for _, order := range [][]counted{{one, two, three}, {three, one, two, one, three}} {
		h := newHistory(usage.ScopeKey, uuid.New())
		for _, c := range order {
			h.add(&c)
		}
		sum := h.at(legacy.Day, "2026-11-02").sum()
		require.EqualValues(t, 111, sum.Requests)
		_, known := h.at(legacy.Day, "2026-11-02").charge()
		require.False(t, known)
	}
}
