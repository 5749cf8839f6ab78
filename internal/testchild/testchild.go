// Package testchild runs a test's own binary as a process beside it, to be killed: its
// TestMain finds its role in the environment, and says a line at a time how far it is.
package testchild

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Process is the test binary in a role. It ends with the test.
type Process struct {
	*exec.Cmd

	// Log is what it writes to its standard error, to be read when it has ended.
	Log strings.Builder
	out *bufio.Scanner
}

// Start runs it with more in its environment.
func Start(t testing.TB, environment ...string) *Process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	p := &Process{Cmd: exec.Command(self)} //nolint:gosec // the test itself
	p.Env = append(os.Environ(), environment...)
	p.Stderr = &p.Log
	out, err := p.StdoutPipe()
	require.NoError(t, err)
	p.out = bufio.NewScanner(out)
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = p.Wait()
	})
	return p
}

// Line is the next one that it says, "" at its end.
func (p *Process) Line() string {
	p.out.Scan()
	return p.out.Text()
}
