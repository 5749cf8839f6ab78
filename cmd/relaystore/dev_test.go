package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
)

const patience = 90 * time.Second

// otherURLs make --only-missing start nothing.
var otherURLs = []string{"DATABASE_URL=postgres://other's/db", "REDIS_URL=redis://other:1"}

// playClient uses both servers and says what it found.
func playClient() int {
	ctx := context.Background()
	tables, err := countTables(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	keys, err := countKeys(ctx, os.Getenv("REDIS_URL"))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(tables, "tables", keys, "keys")
	return 0
}

func countTables(ctx context.Context, url string) (n int, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }()
	err = conn.QueryRow(ctx, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace").Scan(&n)
	return n, err
}

func countKeys(ctx context.Context, url string) (int64, error) {
	option, err := rueidis.ParseURL(url)
	if err != nil {
		return 0, err
	}
	client, err := rueidis.NewClient(option)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	return client.Do(ctx, client.B().Dbsize().Build()).AsInt64()
}

// playWaiter ends with the first signal and a code that tells which.
func playWaiter() int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	fmt.Println("ready")
	sig := <-signals
	fmt.Println(sig)
	return 40 + int(sig.(syscall.Signal))
}

func role(name string) string { return roleVar + "=" + name }

func TestDevExitCode(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -9 $$": 137} {
		p := relaystore(t, otherURLs, "dev", "--only-missing", "--", "sh", "-c", script)
		out, code := p.finish(t)
		require.Equal(t, want, code, script)
		require.Empty(t, out)
		require.Empty(t, p.errors.String())
	}
}

func TestDevServers(t *testing.T) {
	t.Parallel()
	p := relaystore(t, append(otherURLs, role("client")), "dev", "--", os.Args[0])
	out, code := p.finish(t)
	require.Equal(t, "0 tables 0 keys\n", out)
	require.Equal(t, 0, code, p.errors.String())
	require.Empty(t, entries(t, p.tmp))
}

func TestDevPassesSignalsOn(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		p := relaystore(t, []string{role("waiter")}, "dev", "--", os.Args[0])
		require.Equal(t, "ready", p.line(t))
		require.NoError(t, p.Process.Signal(sig))
		out, code := p.finish(t)
		require.Equal(t, sig.String()+"\n", out)
		require.Equal(t, 40+int(sig), code)
		require.Empty(t, entries(t, p.tmp))
	}
}

func TestDevKilled(t *testing.T) {
	t.Parallel()
	p := relaystore(t, []string{role("waiter")}, "dev", "--", os.Args[0])
	require.Equal(t, "ready", p.line(t))
	require.NotEmpty(t, processesIn(p.tmp))
	require.NoError(t, p.Process.Kill())
	require.Equal(t, "terminated", p.line(t))
	require.Eventually(t, func() bool {
		return len(entries(t, p.tmp)) == 0 && len(processesIn(p.tmp)) == 0
	}, patience, 20*time.Millisecond)
}

func TestDevInterruptedAtStart(t *testing.T) {
	t.Parallel()
	p := relaystore(t, []string{role("waiter")}, "dev", "--", os.Args[0])
	require.Eventually(t, func() bool { return len(entries(t, p.tmp)) > 0 }, patience, time.Millisecond)
	require.NoError(t, p.Process.Signal(syscall.SIGINT))
	_, code := p.finish(t)
	// The servers may have been up before the signal arrived.
	require.Contains(t, []int{exitInterrupted, 40 + int(syscall.SIGINT)}, code)
	require.Empty(t, entries(t, p.tmp))
}

func TestDevWithoutCommand(t *testing.T) {
	t.Parallel()
	p := relaystore(t, nil, "dev")
	lines := p.line(t) + "\n" + p.line(t) + "\n"
	client := exec.Command("sh", "-c", lines+`exec "$0"`, os.Args[0])
	client.Env = append(os.Environ(), role("client"))
	out, err := client.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "0 tables 0 keys\n", string(out))
	require.NoError(t, p.Process.Signal(syscall.SIGINT))
	rest, code := p.finish(t)
	require.Equal(t, 0, code)
	require.Empty(t, rest)
	require.Contains(t, p.errors.String(), "Ctrl-C")
	require.Empty(t, entries(t, p.tmp))
}

func TestDevOnlyMissingNothing(t *testing.T) {
	t.Parallel()
	p := relaystore(t, otherURLs, "dev", "--only-missing", "--", "sh", "-c", `echo "$DATABASE_URL $REDIS_URL"; ls "$TMPDIR"`)
	out, code := p.finish(t)
	require.Equal(t, "postgres://other's/db redis://other:1\n", out)
	require.Equal(t, 0, code)
}

func TestDevOnlyMissingOne(t *testing.T) {
	t.Parallel()
	p := relaystore(t, []string{"DATABASE_URL=", otherURLs[1]}, "dev", "--only-missing", "--",
		"sh", "-c", `echo "$DATABASE_URL $REDIS_URL"; ls "$TMPDIR"/*/*.log`)
	out, code := p.finish(t)
	require.Equal(t, 0, code)
	require.True(t, strings.HasPrefix(out, "postgres://postgres@/relaystore?host="+p.tmp), out)
	require.Contains(t, out, " redis://other:1\n")
	require.NotContains(t, out, "redis.log")
}

func TestDevQuotesURLs(t *testing.T) {
	t.Parallel()
	p := relaystore(t, otherURLs, "dev", "--only-missing")
	require.Equal(t, `export DATABASE_URL='postgres://other'\''s/db'`, p.line(t))
	require.Equal(t, `export REDIS_URL='redis://other:1'`, p.line(t))
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	_, code := p.finish(t)
	require.Equal(t, 0, code)
}
