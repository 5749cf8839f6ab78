package repo_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// contractMethods are the contract's 31, in order.
var contractMethods = []string{
	"batchOperation", "beginTransaction", "cleanupExpiredSessions", "cleanupOldStats", "commitTransaction", "createApiKey",
	"createClaudeAccount", "createSession", "deleteApiKey", "deleteSession", "getAllApiKeys", "getApiKey", "getAvailableAccounts",
	"getClaudeAccount", "getCostAnalysis", "getPerformanceMetrics", "getQueryStats", "getStorageConfig", "getStorageHealth",
	"getUsageStats", "recordApiKeyUsage", "recordUsage", "refreshOAuthToken", "rollbackTransaction", "setPerformanceAlert",
	"switchStorageStrategy", "updateAccountStatus", "updateApiKey", "updateSession", "validateApiKey", "validateSession",
}

// contractPage is the contract's own page, which lies beside the project where it is
// developed and not where it is used.
const contractPage = "../../shared/contract/data-access-api.zh.md"

func TestEachMethodHasGoldenEnvelopes(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/golden/*.json")
	require.NoError(t, err)
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	slices.Sort(names)
	require.Equal(t, contractMethods, names)

	page, err := os.ReadFile(contractPage)
	if errors.Is(err, fs.ErrNotExist) {
		t.Logf("the contract is not at %s", contractPage)
		return
	}
	require.NoError(t, err)
	var given []string
	for _, m := range regexp.MustCompile(`(?m)^  (?:async )?(\w+)\([^)]*\) \{$`).FindAllStringSubmatch(string(page), -1) {
		if m[1] != "constructor" { // of the page's example
			given = append(given, m[1])
		}
	}
	slices.Sort(given)
	require.Equal(t, contractMethods, slices.Compact(given))
}
