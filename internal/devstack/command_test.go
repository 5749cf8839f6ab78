package devstack

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// playRunner runs a counter as `relaystore dev` runs its command.
func playRunner() int {
	signals, stop := Signals()
	defer stop()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"=counter")
	cmd.Stdout = os.Stdout
	code, err := RunCommand(cmd, signals)
	if err != nil {
		fmt.Println(err)
	}
	return code
}

// playCounter says which signals it gets, and ends with SIGTERM.
func playCounter() int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTERM)
	fmt.Println("ready")
	for sig := range signals {
		fmt.Println(sig)
		if sig == syscall.SIGTERM {
			break
		}
	}
	return 5
}

func runCounter(t *testing.T) *helper {
	t.Helper()
	h := play(t, "runner")
	require.Equal(t, "ready", h.line(t))
	return h
}

func TestSignalsPassedOn(t *testing.T) {
	t.Parallel()
	h := runCounter(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGINT} {
		require.NoError(t, h.Process.Signal(sig))
		require.Equal(t, sig.String(), h.line(t))
	}
	require.NoError(t, h.Process.Signal(syscall.SIGTERM))
	out, code := h.finish(t)
	require.Equal(t, "terminated\n", out)
	require.Equal(t, 5, code)
}

// A second SIGINT would show before the SIGTERM that ends the counter: of
// pending signals, the kernel and Go take the lower number first.
func TestGroupSignalOnce(t *testing.T) {
	t.Parallel()
	for range 10 {
		h := runCounter(t)
		require.NoError(t, syscall.Kill(-h.Process.Pid, syscall.SIGINT))
		require.Equal(t, "interrupt", h.line(t))
		require.NoError(t, h.Process.Signal(syscall.SIGTERM))
		out, code := h.finish(t)
		require.Equal(t, "terminated\n", out)
		require.Equal(t, 5, code)
	}
}

func TestRunCommandCode(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -9 $$": 137, "kill -TERM $$": 143} {
		code, err := RunCommand(exec.Command("sh", "-c", script), nil)
		require.NoError(t, err)
		require.Equal(t, want, code, script)
	}
	_, err := RunCommand(exec.Command("/no/such/program"), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}
