package monitoring

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An alert watches the figure that stands at its metric's name in the metrics' JSON.
func TestPerformanceFiguresStandWhereTheirNamesSay(t *testing.T) {
	t.Parallel()
	m := Metrics{
		Database: DatabaseMetrics{2 * time.Millisecond, 3, PoolMetrics{0.4, 5 * time.Millisecond}},
		Cache:    CacheMetrics{0.6, 0.7, 0.8}, Errors: ErrorMetrics{Rate: 9},
	}
	text, err := json.Marshal(m)
	require.NoError(t, err)
	for metric, figure := range performance {
		var at any
		require.NoError(t, json.Unmarshal(text, &at))
		for _, name := range strings.Split(metric, ".") {
			at = at.(map[string]any)[name]
		}
		require.InDelta(t, at, figure(m), 0, metric)
	}
}
