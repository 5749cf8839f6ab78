package strategy_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/strategy"
)

func TestLimitsInTheDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/redis-keys.md")
	require.NoError(t, err)
	for _, dataType := range []strategy.DataType{strategy.APIKey, strategy.Session} {
		for _, limit := range strategy.RedisLimits[dataType] {
			require.Contains(t, string(page), fmt.Sprintf("| `%s` | %s | %s |\n", dataType, limit.Name, limit.Text))
		}
	}
}
