package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/internal/testdb"
)

// benched runs a benchmark on servers of the test's own and gives its object.
func benched(t *testing.T, args ...string) map[string]any {
	t.Helper()
	stack := startStack(t)
	p := relaystore(t, benchEnv(stack), append([]string{"bench"}, args...)...)
	out, code := p.finish(t)
	require.Equal(t, exitOK, code, p.errors.String())
	for line := range strings.Lines(p.errors.String()) { // a busy machine's log
		require.Regexp(t, `^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (INFO|WARN) relaystore: [^\r]*\n$`, line, "progress is for terminals")
	}
	requireNoBench(t, stack)
	var rep map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &rep))
	return rep
}

func startStack(t *testing.T) *devstack.Stack {
	t.Helper()
	stack, err := devstack.Start(t.Context(), devstack.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stack.Close()) })
	return stack
}

// A URL for another database must not reach the children.
func benchEnv(stack *devstack.Stack) []string {
	return []string{
		"DATABASE_URL=" + stack.DatabaseURL, "REDIS_URL=" + stack.RedisURL,
		"RELAYSTORE_DIRECT_URL=postgres://127.0.0.1:1/none", "RELAYSTORE_CACHED_KEYS=1",
	}
}

func requireNoBench(t *testing.T, stack *devstack.Stack) {
	t.Helper()
	pool := testdb.Pool(t, stack.DatabaseURL)
	defer pool.Close()
	var databases int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_database WHERE datname LIKE 'relaystore\\_%'").Scan(&databases))
	require.Zero(t, databases)
	keys, err := countKeys(t.Context(), stack.RedisURL)
	require.NoError(t, err)
	require.Zero(t, keys)
}

func keysOf(rep map[string]any) (names []string) {
	for name := range rep {
		names = append(names, name)
	}
	return names
}

func TestBenchValidate(t *testing.T) {
	t.Parallel()
	rep := benched(t, "validate", "--keys", "50", "--quick", "--json")
	figures := []string{
		"hitNs", "hitParallelNs", "negativeNs", "missNs", "credentialsNs", "sessionNs", "outageP99Ns", "outageDeadlineNs", "timeNowNs", "mapNs", "docacheNs", "docacheParallelNs", "docacheMissNs",
		"redisGetNs", "selectNs", "updateRatio", "rssMiB100k",
	}
	require.ElementsMatch(t, append(figures, "allocs"), keysOf(rep))
	for _, name := range figures {
		require.Positive(t, rep[name], name)
	}
	require.Zero(t, rep["allocs"])
}

func TestBenchRevoke(t *testing.T) {
	t.Parallel()
	rep := benched(t, "revoke", "--rounds", "2", "--json")
	require.ElementsMatch(t, []string{"ways", "checked", "violating"}, keysOf(rep))
	require.GreaterOrEqual(t, rep["checked"], float64(3*5), "each process after each way")
	require.Zero(t, rep["violating"])
	require.Len(t, rep["ways"], 5)
	for i, name := range []string{"delete", "update", "sql", "session", "session-update"} {
		way := rep["ways"].([]any)[i].(map[string]any)
		require.ElementsMatch(t, []string{"way", "selfStale", "p50Ms", "p99Ms", "maxMs", "reenableP99Ms", "rounds"}, keysOf(way))
		require.Equal(t, name, way["way"])
		require.EqualValues(t, 2, way["rounds"])
		require.Positive(t, way["reenableP99Ms"])
		require.LessOrEqual(t, way["p50Ms"], way["p99Ms"])
		require.LessOrEqual(t, way["p99Ms"], way["maxMs"])
		if name == "sql" {
			require.Nil(t, way["selfStale"])
		} else {
			require.Zero(t, way["selfStale"], name)
		}
	}
}

func TestBenchStats(t *testing.T) {
	t.Parallel()
	rep := benched(t, "stats", "--records", "2000", "--json")
	require.ElementsMatch(t, []string{"records", "loadPerSecond", "cases"}, keysOf(rep))
	var asked []string
	for _, c := range rep["cases"].([]any) {
		figures := c.(map[string]any)
		require.ElementsMatch(t, []string{"name", "zone", "p50Ms", "p99Ms", "scanMs", "rowsRead"}, keysOf(figures))
		require.Positive(t, figures["rowsRead"])
		asked = append(asked, fmt.Sprint(figures["name"], " ", figures["zone"]))
	}
	require.Equal(t, []string{
		"key-30d-day UTC", "key-30d-day Asia/Kolkata", "key-1y-month UTC", "key-1y-month Asia/Kolkata",
		"all-1y-month UTC", "all-1y-month Asia/Kolkata", "cost-90d-model UTC", "cost-90d-model Asia/Kolkata",
	}, asked)
}

// Ctrl-C reaches the children, too; nothing is left behind.
func TestBenchInterrupted(t *testing.T) {
	t.Parallel()
	stack := startStack(t)
	p := relaystore(t, benchEnv(stack), "bench", "revoke", "--rounds", "100000")
	children := waitForChildren(t, p, 3)
	require.NoError(t, p.Process.Signal(os.Interrupt))
	_, code := p.finish(t)
	require.Equal(t, exitInterrupted, code, p.errors.String())
	requireGone(t, children)
	requireNoBench(t, stack)
}

func TestBenchChildDies(t *testing.T) {
	t.Parallel()
	stack := startStack(t)
	p := relaystore(t, benchEnv(stack), "bench", "revoke", "--rounds", "100000")
	children := waitForChildren(t, p, 3)
	child, err := os.FindProcess(children[1])
	require.NoError(t, err)
	require.NoError(t, child.Kill())
	_, code := p.finish(t)
	require.Equal(t, exitFailure, code)
	require.Contains(t, p.errors.String(), "ended in the middle")
	requireGone(t, children)
	requireNoBench(t, stack)
}

// waitForChildren gives the process ids of a program's n children.
func waitForChildren(t *testing.T, p *program, n int) (pids []int) {
	t.Helper()
	require.Eventually(t, func() bool {
		pids = devstack.Children(p.Process.Pid)
		return len(pids) == n
	}, patience, 10*time.Millisecond)
	return pids
}

func requireGone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
	}
}
