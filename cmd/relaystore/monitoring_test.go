package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo/monitoring"
)

func TestHealthCommand(t *testing.T) {
	p := setupFigures(t)
	out, _ := p.run(exitOK, "health")
	require.Regexp(t, `PostgreSQL +│ answers`, out)
	require.Regexp(t, `Redis +│ answers`, out)
	require.Regexp(t, `schema version +│ \d+`, out)
	out, _ = p.run(exitOK, "health", "--json")
	var h map[string]map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &h))
	require.Equal(t, true, h["postgres"]["connected"])

	p.env = append(p.env, "REDIS_URL=")
	out, _ = p.run(exitOK, "health")
	require.Contains(t, out, "No Redis is configured.")
	p.env = append(p.env, "REDIS_URL=redis://127.0.0.1:1/0")
	out, _ = p.run(exitFailure, "health")
	require.Regexp(t, `Redis +│ DOES NOT ANSWER`, out)
	p.env = append(p.env, "RELAYSTORE_REQUIRE_REDIS=true")
	out, _ = p.run(exitFailure, "health")
	require.Regexp(t, `Redis +│ DOES NOT ANSWER`, out)
}

// PostgreSQL refuses connections, or takes them and never answers: the look says so, and
// how Redis and its journal do.
func TestHealthCommandWithoutPostgreSQL(t *testing.T) {
	p := setupFigures(t)
	p.env = append(p.env, "RELAYSTORE_USAGE_WRITES=write_behind")
	proxy, stalled := faultproxy.Postgres(t, strings.TrimPrefix(p.env[0], "DATABASE_URL="))
	proxy.Stall()
	for _, url := range []string{"postgres://nobody@127.0.0.1:1/none", stalled} {
		p.env = append(p.env, "DATABASE_URL="+url)
		out, said := p.run(exitFailure, "health", "--json")
		var h map[string]map[string]any
		require.NoError(t, json.Unmarshal([]byte(out), &h), said)
		require.Equal(t, false, h["postgres"]["connected"])
		require.Equal(t, true, h["redis"]["connected"])
		require.InDelta(t, 0, h["redis"]["journal"].(map[string]any)["length"], 0)
		out, _ = p.run(exitFailure, "health")
		require.Regexp(t, `PostgreSQL +│ DOES NOT ANSWER`, out)
		require.Regexp(t, `schema version +│ \? `, out)
		require.Regexp(t, `journal +│ 0 records`, out)
	}
	p.env = append(p.env, "REDIS_URL=redis://127.0.0.1:1/0")
	out, _ := p.run(exitFailure, "health")
	require.Regexp(t, `memory +│ \? `, out)
	require.Regexp(t, `journal +│ \? records, the oldest \?, \? refused`, out)
}

func TestMetricsAndQueriesCommands(t *testing.T) {
	p := setupFigures(t)
	out, _ := p.run(exitOK, "metrics", "--range", "5m")
	require.Regexp(t, `connections in use +│ +\d+\.\d\d %`, out)
	require.Regexp(t, `errors │ 0/s`, out)
	out, _ = p.run(exitOK, "metrics", "--json")
	var m monitoring.Metrics
	require.NoError(t, json.Unmarshal([]byte(out), &struct{ Cache *monitoring.CacheMetrics }{&m.Cache}))

	out, _ = p.run(exitOK, "queries", "--limit", "3")
	require.Contains(t, out, "most frequent")
	out, _ = p.run(exitOK, "queries", "--json")
	require.Contains(t, out, `"slowQueries": [`)

	_, text := p.run(exitUsage, "metrics", "--range", "2h")
	require.Contains(t, text, "--range: ")
	_, text = p.run(exitUsage, "queries", "--limit", "-1")
	require.Contains(t, text, "--limit: ")
}

func TestAlertsCommand(t *testing.T) {
	p := setupFigures(t)
	out, _ := p.run(exitOK, "alerts", "list")
	require.Equal(t, "No alerts.\n", out)
	p.env = append(p.env, "RELAYSTORE_ALERT_SECRET="+base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32))))
	file := filepath.Join(t.TempDir(), "url")
	require.NoError(t, os.WriteFile(file, []byte("https://example.com/hook/se-cret\n"), 0o600))
	set, _ := p.run(exitOK, "alerts", "set", "errors.rate", ">", "0.5", "--for", "1m", "--webhook", file)
	out, _ = p.run(exitOK, "alerts", "list")
	require.Contains(t, out, "errors.rate > 0.5")
	require.Contains(t, out, "example.com")
	require.NotContains(t, out, "se-cret", "a path can be a secret")

	out, _ = p.run(exitOK, "alerts", "list", "--json")
	require.NotContains(t, out, "se-cret")
	var list struct{ Alerts []struct{ ID string } }
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	require.Len(t, list.Alerts, 1)
	for _, bad := range [][]string{{"coffee", ">", "1"}, {"errors.rate", "=", "1"}, {"errors.rate", ">", "much"}, {"errors.rate", ">", "1", "--for", "-1s"}} {
		p.run(exitUsage, append([]string{"alerts", "set"}, bad...)...)
	}
	require.Equal(t, "Set "+list.Alerts[0].ID+".\n", set)
	p.run(exitOK, "alerts", "remove", list.Alerts[0].ID)
	p.run(exitFailure, "alerts", "remove", list.Alerts[0].ID)
	out, _ = p.run(exitOK, "alerts", "list")
	require.Equal(t, "No alerts.\n", out)
}

func TestStrategyCommand(t *testing.T) {
	p := setupFigures(t)
	p.env = append(p.env, "RELAYSTORE_PRIMARY_REDIS_URL="+testclient.LegacyRedis(t))
	out, _ := p.run(exitOK, "strategy", "show")
	require.Regexp(t, `session +│ postgres │ on +│`, out)
	out, _ = p.run(exitOK, "strategy", "switch", "session", "--cache=false", "--read", "database_first", "--write", "write_through", "--json")
	require.Contains(t, out, `"previousStrategy"`)
	out, _ = p.run(exitOK, "strategy", "show")
	require.Regexp(t, `session +│ postgres │ off +│ +0s`, out)
	p.run(exitOK, "strategy", "switch", "session", "--primary", "redis")
	out, _ = p.run(exitOK, "strategy", "show")
	require.Regexp(t, `session +│ redis +│ off +│ +0s`, out)
	out, _ = p.run(exitOK, "strategy", "switch", "session", "--primary", "postgres")
	require.Equal(t, "session is stored in another way from now on.\n", out)
	out, _ = p.run(exitOK, "strategy", "switch", "session")
	require.Equal(t, "session is stored so already.\n", out)
	out, _ = p.run(exitOK, "strategy", "show")
	require.Regexp(t, `session +│ postgres │ on +│ +10m0s`, out)
	for _, bad := range [][]string{{"coffee"}, {"session", "--primary", "mysql"}, {"session", "--read", "cache_only"}, {"apikey", "--ttl", "1500ms"}, {"usage", "--cache"}} {
		p.run(exitUsage, append([]string{"strategy", "switch"}, bad...)...)
	}
}
