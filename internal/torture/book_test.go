package torture

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fate   fate // begun, acknowledged, counted, refused
		stored int64
		want   verdict
	}{
		"acknowledged":                             {fate{1, 1, 1, 0}, 1, verdict{}},
		"acknowledged, and again by another":       {fate{3, 3, 1, 0}, 1, verdict{}},
		"never answered, not stored":               {fate{1, 0, 0, 0}, 0, verdict{}},
		"never answered, stored":                   {fate{1, 0, 0, 0}, 1, verdict{}},
		"a duplicate of what was never answered":   {fate{2, 1, 0, 0}, 1, verdict{}},
		"refused":                                  {fate{2, 0, 0, 2}, 0, verdict{}},
		"refused once, never answered the other":   {fate{2, 0, 0, 1}, 1, verdict{}},
		"lost":                                     {fate{1, 1, 1, 0}, 0, verdict{lost: 1}},
		"lost, and never answered":                 {fate{2, 1, 1, 0}, 0, verdict{lost: 1}},
		"twice":                                    {fate{2, 1, 1, 0}, 2, verdict{duplicated: 1}},
		"twice, never answered":                    {fate{2, 0, 0, 0}, 3, verdict{duplicated: 2}},
		"refused, and stored":                      {fate{1, 0, 0, 1}, 1, verdict{untrue: 1}},
		"a duplicate of nothing":                   {fate{1, 1, 0, 0}, 1, verdict{untrue: 1}},
		"a duplicate of what was refused":          {fate{2, 1, 0, 1}, 1, verdict{untrue: 1}},
		"two first ones":                           {fate{2, 2, 2, 0}, 1, verdict{untrue: 1}},
		"a duplicate of nothing, and not there":    {fate{1, 1, 0, 0}, 0, verdict{lost: 1, untrue: 1}},
		"two first ones, each stored":              {fate{2, 2, 2, 0}, 2, verdict{duplicated: 1, untrue: 1}},
		"nobody's, which the audit accuses itself": {fate{}, 0, verdict{}},
	} {
		require.Equal(t, test.want, newBook(false).judge(test.fate, test.stored), name)
	}
}

// Under write_behind, two calls may both be told that they were the first.
func TestJudgeBehind(t *testing.T) {
	t.Parallel()
	twice := fate{begun: 2, acknowledged: 2, counted: 2}
	require.Equal(t, verdict{}, newBook(true).judge(twice, 1))
	require.Equal(t, verdict{lost: 1}, newBook(true).judge(twice, 0))
	require.Equal(t, verdict{duplicated: 1}, newBook(true).judge(twice, 2))
}

func TestBook(t *testing.T) {
	t.Parallel()
	b := newBook(false)
	require.EqualValues(t, 1, b.open(2))
	require.EqualValues(t, 3, b.open(1))
	m := mark{2, 1}
	require.Nil(t, b.find(m))
	for range 4 {
		b.begin(m)
	}
	b.answer(report{mark: m, Event: failed, Code: "X", Unknown: true})
	b.answer(report{mark: m, Event: failed, Code: "X"})
	b.answer(report{mark: m, Event: counted})
	b.answer(report{mark: m, Event: duplicate})
	require.Equal(t, fate{begun: 4, acknowledged: 2, counted: 1, refused: 1}, *b.find(m))
	acknowledged, duplicates := b.count()
	require.EqualValues(t, 1, acknowledged, "a record counts once")
	require.EqualValues(t, 1, duplicates)
	require.Equal(t, map[string]int64{"X": 2}, b.failures)
	for _, none := range []mark{{}, {0, 1}, {2, 0}, {2, 2}, {4, 1}} {
		require.Nil(t, b.find(none))
	}
}
