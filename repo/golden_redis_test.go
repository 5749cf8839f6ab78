package repo_test

import (
	"testing"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/strategy"
)

// With keys and sessions in Redis, their methods answer by the same golden files.
func TestGoldenOnRedis(t *testing.T) {
	t.Parallel()
	for _, method := range []string{
		"createApiKey", "validateApiKey", "getApiKey", "updateApiKey", "deleteApiKey", "getAllApiKeys",
		"createSession", "validateSession", "updateSession", "deleteSession", "cleanupExpiredSessions",
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			cfg := testclient.Config(t)
			cfg.PrimaryRedisURL = testclient.LegacyRedis(t)
			playGolden(t, testclient.OnRedis(t, cfg, strategy.APIKey, strategy.Session), method)
		})
	}
}
