package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/internal/testdb"
)

var demoSays = []string{
	"✓ alice's editor     may use all",
	"✗ dave's trial       refused: expired",
	"✗ erin's old laptop  refused: disabled",
	"✗ a stranger         refused: DB_RECORD_NOT_FOUND",
	"717 records committed",
	"duplicate: true",
	"claude-opus-4-20250514",
	"page 3 of 3: erin's old laptop",
	"available, best first: main, spare, pool",
	"the provider said 429 to main; available: spare, pool",
	"its limit has passed, nobody wrote that; available: main, spare, pool",
	"16 callers got one new token, the provider was called 1 time",
	"printed or logged, credentials are [redacted]",
	"✓ alice, user, {\"theme\":\"dark\"}",
	"✗ after the log-out: DB_RECORD_NOT_FOUND",
	"✗ alice's editor     refused: disabled",
	"nothing is left behind",
}

func TestDemoOnPrivateServers(t *testing.T) {
	t.Parallel()
	p := relaystore(t, []string{"DATABASE_URL=", "REDIS_URL="}, "demo")
	out, code := p.finish(t)
	require.Equal(t, exitOK, code, p.errors.String())
	for _, line := range demoSays {
		require.Contains(t, out, line)
	}
	require.NotContains(t, out, "tok-")
	require.Empty(t, entries(t, p.tmp))
	require.Empty(t, processesIn(p.tmp))
}

// The servers are the test's own, so that what is left behind is the demo's.
func TestDemoOnGivenServers(t *testing.T) {
	t.Parallel()
	stack, err := devstack.Start(t.Context(), devstack.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stack.Close()) })
	env := []string{"DATABASE_URL=" + stack.DatabaseURL, "REDIS_URL=" + stack.RedisURL}

	p := relaystore(t, env, "demo")
	out, code := p.finish(t)
	require.Equal(t, exitOK, code, p.errors.String())
	require.NotContains(t, out, "Starting private servers")
	requireUntouched(t, stack)

	p = relaystore(t, env, "demo")
	for line := ""; line != "▸ Recording a week of requests"; line = p.line(t) {
	}
	require.NoError(t, p.Process.Signal(os.Interrupt))
	_, code = p.finish(t)
	require.Equal(t, exitInterrupted, code, p.errors.String())
	requireUntouched(t, stack)
}

func requireUntouched(t *testing.T, stack *devstack.Stack) {
	t.Helper()
	var databases int
	pool := testdb.Pool(t, stack.DatabaseURL)
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_database WHERE datname LIKE 'relaystore\\_demo%'").Scan(&databases))
	require.Zero(t, databases)
	pool.Close()
	keys, err := countKeys(t.Context(), stack.RedisURL)
	require.NoError(t, err)
	require.Zero(t, keys)
}

func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	p := relaystore(t, []string{"DATABASE_URL=", "REDIS_URL="}, "demo")
	for line := ""; line != "▸ Recording a week of requests"; line = p.line(t) {
	}
	require.NoError(t, p.Process.Signal(os.Interrupt))
	_, code := p.finish(t)
	require.Equal(t, exitInterrupted, code, p.errors.String())
	require.Empty(t, entries(t, p.tmp))
	require.Empty(t, processesIn(p.tmp))
}
