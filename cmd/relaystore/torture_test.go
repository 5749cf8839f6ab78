package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/torture"
	"github.com/seed14a526e0/relaystore/repo"
)

// privately makes relaystore start servers of its own.
var privately = []string{"DATABASE_URL=", "REDIS_URL="}

// tortured runs a torture of this test binary, so that the race detector sees the
// gateways, too.
func tortured(t *testing.T, env []string, args ...string) (rep torture.Report, code int) {
	t.Helper()
	p := start(t, os.Args[0], env, append([]string{"torture", "--json"}, args...)...)
	out, code := p.finish(t)
	require.Empty(t, entries(t, p.tmp))
	require.Empty(t, processesIn(p.tmp))
	object, last, found := strings.Cut(out, "\n}\n")
	require.True(t, found, "%s\n%s", out, p.errors.String())
	require.NoError(t, json.Unmarshal([]byte(object+"}"), &rep))
	require.Equal(t, rep.String()+"\n", last)
	return rep, code
}

func TestTorture(t *testing.T) {
	t.Parallel()
	for _, writes := range []string{repo.WriteThrough, repo.WriteBehind} {
		t.Run(writes, func(t *testing.T) {
			t.Parallel()
			rep, code := tortured(t, privately, "--quick", "--usage-writes", writes)
			require.Equal(t, writes, rep.UsageWrites)
			requireTortured(t, rep, code)
		})
	}
}

func requireTortured(t *testing.T, rep torture.Report, code int) {
	t.Helper()
	require.Equal(t, exitOK, code, "%+v", rep)
	require.Regexp(t, `^torture: kills=[1-9]\d* acknowledged=[1-9]\d* stored=[1-9]\d* lost=0 duplicated=0 mismatch=0$`, rep.String())
	for _, name := range []string{
		"gateway killed", "gateway closed", "PostgreSQL killed", "PostgreSQL's backend killed", "connection ended by PostgreSQL",
		"Redis killed", "Redis stopped for a while", "cut before the commit's acknowledgement", "cut after the commit's acknowledgement",
		"cut before ON CONFLICT's acknowledgement", "cut after ON CONFLICT's acknowledgement", "cut somewhere on the way to PostgreSQL",
		"cut somewhere on the way back", "connections stalled", "connections cut off",
	} {
		require.Positive(t, rep.Faults[name], name)
	}
	require.Equal(t, rep.Kills, rep.Faults["gateway killed"]+rep.Faults["PostgreSQL killed"]+rep.Faults["PostgreSQL's backend killed"]+
		rep.Faults["Redis killed"])
	require.Greater(t, rep.Gateways, 3)
	require.Positive(t, rep.Audits)
	if rep.UsageWrites == repo.WriteThrough {
		require.Positive(t, rep.Duplicates.Answered)
	}
	require.Positive(t, rep.Duplicates.FastPath)
	require.Positive(t, rep.Duplicates.OnConflict)
	require.Positive(t, rep.Duplicates.Own)
	require.GreaterOrEqual(t, rep.Stored, rep.Acknowledged)
}

// The torture notices gateways that do wrong.
func TestTortureNotices(t *testing.T) {
	t.Parallel()
	for sabotage, pattern := range map[string]string{
		"acknowledge-early":  ` lost=[1-9]\d* duplicated=0 `,
		"forget-request-ids": ` lost=0 duplicated=[1-9]\d* `,
	} {
		t.Run(sabotage, func(t *testing.T) {
			t.Parallel()
			rep, code := tortured(t, append(privately, "TORTURE_SABOTAGE="+sabotage), "--kills", "5")
			require.Equal(t, exitFailure, code)
			require.Regexp(t, pattern, rep.String())
			require.NotEmpty(t, rep.Examples)
		})
	}
}

// Somebody else's servers are not killed; nothing is left in them.
func TestTortureSparesGivenServers(t *testing.T) {
	t.Parallel()
	stack := startStack(t)
	before := stack.PIDs()
	p := start(t, os.Args[0], benchEnv(stack), "torture", "--quick", "--seed", "7")
	out, code := p.finish(t)
	require.Equal(t, exitOK, code, out)
	require.Contains(t, p.errors.String(), "torture: --seed 7\n")
	require.Contains(t, p.errors.String(), "PostgreSQL and its backends are not killed")
	require.Contains(t, p.errors.String(), "Redis is neither killed nor stopped")
	require.NotRegexp(t, "(PostgreSQL|backend|Redis) killed", out)
	require.Regexp(t, `gateway killed +│ +[1-9]`, out)
	require.Equal(t, before, stack.PIDs())
	requireNoBench(t, stack)
}

// Ctrl-C ends the violence; what was done so far is audited.
func TestTortureInterrupted(t *testing.T) {
	t.Parallel()
	p := start(t, os.Args[0], privately, "torture", "--duration", "1h")
	children := waitForChildren(t, p, 6) // three gateways, two servers and their janitor
	require.NoError(t, p.Process.Signal(os.Interrupt))
	out, code := p.finish(t)
	require.Equal(t, exitInterrupted, code, p.errors.String())
	require.Regexp(t, `\ntorture: kills=\d+ acknowledged=\d+ stored=\d+ lost=0 duplicated=0 mismatch=0\n\z`, out)
	requireGone(t, children)
	require.Empty(t, entries(t, p.tmp))
}

// Gateways that end by themselves end the violence, and a clean audit does not hide it.
func TestTortureGatewaysDie(t *testing.T) {
	t.Parallel()
	p := start(t, os.Args[0], privately, "torture", "--duration", "1h")
	children := waitForChildren(t, p, 6)
	for _, pid := range children { // all, since the torture itself may be killing one
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.Contains(string(line), "\x00"+torture.GatewayCommand+"\x00") {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	out, code := p.finish(t)
	require.Equal(t, exitFailure, code)
	require.Regexp(t, `gateway [123] ended by itself: signal: killed`, p.errors.String())
	require.Regexp(t, `\ntorture: kills=\d+ acknowledged=\d+ stored=\d+ lost=0 duplicated=0 mismatch=0\n\z`, out)
	requireGone(t, children)
	require.Empty(t, entries(t, p.tmp))
}

func TestTortureRefuses(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--gateways=1", "--gateways=17", "--callers=0", "--callers=1001", "--duration=-1s", "--kills=-1", "--usage-writes=x"} {
		p := relaystore(t, privately, "torture", flag)
		out, code := p.finish(t)
		require.Equal(t, exitUsage, code, flag)
		require.Empty(t, out)
		require.Contains(t, p.errors.String(), strings.Trim(strings.Split(flag, "=")[0], "-"), flag)
	}
}
