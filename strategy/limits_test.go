package strategy_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/strategy"
)

func TestTheDocsTellEachLimitOfUsage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/redis-usage.md")
	require.NoError(t, err)
	text := strings.Join(strings.Fields(string(page)), " ")
	names := map[string]bool{}
	for _, limit := range strategy.RedisLimits[strategy.Usage] {
		require.Contains(t, text, "- **"+limit.Name+"**: "+limit.Text)
		names[limit.Name] = true
	}
	require.Len(t, names, len(strategy.RedisLimits[strategy.Usage]))
}
