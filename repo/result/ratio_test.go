package result_test

import (
	"encoding/json"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestRatioInJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"33.330": "33.33", "100": "100", "-1": "-1", "0.00": "0", "1e3": "1000", "-0.666666666667": "-0.666666666667"} {
		var r result.Ratio
		require.NoError(t, json.Unmarshal([]byte(text), &r))
		printed, err := json.Marshal(r)
		require.NoError(t, err)
		require.Equal(t, want, string(printed))
	}
	for _, bad := range []string{`"1"`, `1e999999999`, `true`, `{}`} {
		var r result.Ratio
		require.ErrorIs(t, json.Unmarshal([]byte(bad), &r), result.InvalidQuery, bad)
		require.True(t, r.Equal(result.Ratio{}))
	}
	kept := result.NewRatio(decimal.New(5, -1))
	require.NoError(t, json.Unmarshal([]byte("null"), &kept))
	require.True(t, kept.Equal(result.NewRatio(decimal.New(50, -2))))
}
