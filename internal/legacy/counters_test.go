package legacy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseCounter(t *testing.T) {
	t.Parallel()
	absent := Counter{RatedMicro: -1, RealMicro: -1}
	for name, c := range map[string]struct {
		fields map[string]string
		want   func(*Counter)
		faults []string
	}{
		"a bucket": {
			map[string]string{"tokens": "15", "inputTokens": "10", "outputTokens": "5", "cacheReadTokens": "2", "allTokens": "17", "requests": "1", "ratedCostMicro": "41"},
			func(c *Counter) {
				c.Requests, c.Input, c.Output, c.CacheRead, c.Total, c.RatedMicro = 1, 10, 5, 2, 17, 41
			}, nil,
		},
		"a total": {
			map[string]string{"totalTokens": "15", "totalInputTokens": "10", "totalOutputTokens": "5", "totalCacheCreateTokens": "3", "totalRequests": "2"},
			func(c *Counter) { c.Requests, c.Input, c.Output, c.CacheCreation, c.Total = 2, 10, 5, 3, 18 }, nil,
		},
		"an old one without parts": {
			map[string]string{"tokens": "100", "requests": "4"},
			func(c *Counter) { c.Requests, c.Total, c.Unsplit = 4, 100, true }, nil,
		},
		"damaged": {
			map[string]string{"inputTokens": "NaN", "outputTokens": "-1", "allTokens": "1e3", "requests": "[object Object]", "totalRequests": "3"},
			func(c *Counter) { c.Requests, c.Total = 3, 1000 }, []string{"requests", "inputTokens", "outputTokens"},
		},
		"beyond what JavaScript counts": {
			map[string]string{"inputTokens": "9007199254740992", "outputTokens": "9007199254740991"},
			func(c *Counter) { c.Output, c.Total = 1<<53-1, 1<<53-1 }, []string{"inputTokens"},
		},
		"no figures": {map[string]string{"x": "y"}, func(*Counter) {}, []string{""}},
	} {
		want := absent
		c.want(&want)
		got, faults := ParseCounter(c.fields)
		require.Equal(t, want, got, name)
		require.Equal(t, c.faults, faults, name)
	}
}

func TestParseAmount(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"17.00012235499999998": "17.000122355", "1e-7": "0.0000001", "4.82742063500000001": "4.827420635", "0": "0",
		"": "none", "NaN": "none", "Infinity": "none", "-1": "none", "1e999999999": "none", "1e13": "none", "[object Object]": "none", "0x10": "none",
	} {
		got, ok := ParseAmount(text)
		if !ok {
			require.Equal(t, "none", want, text)
			continue
		}
		require.Equal(t, want, got.String(), text)
	}
}

func TestBucketsAreAtTheOffset(t *testing.T) {
	t.Parallel()
	zone := Offset(DefaultOffset)
	for res, bucket := range map[Resolution]string{Hour: "2026-11-22:03", Day: "2026-11-22", Month: "2026-11"} {
		start, err := Start(res, bucket, zone)
		require.NoError(t, err)
		require.Equal(t, bucket, Bucket(res, start, zone))
	}
	start, _ := Start(Hour, "2026-11-22:03", zone)
	require.True(t, start.Equal(time.Date(2026, 11, 21, 19, 0, 0, 0, time.UTC)))
	for _, wrong := range []string{"2026-02-30", "2026-13-01", "0001-01-01", "2026-1-1", ""} {
		_, err := Start(Day, wrong, zone)
		require.Error(t, err, wrong)
	}
}
