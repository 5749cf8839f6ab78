package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// roleVar makes the test binary the command that `relaystore dev` runs.
const roleVar = "RELAYSTORE_TEST_ROLE"

var binDir string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		main() // relaystore itself, with the race detector where the tests have it
	}
	switch os.Getenv(roleVar) {
	case "client":
		os.Exit(playClient())
	case "waiter":
		os.Exit(playWaiter())
	}
	var err error
	if binDir, err = os.MkdirTemp("", "relaystore-bin-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(binDir)
	os.Exit(code)
}

var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binDir, "relaystore")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// program is a running relaystore.
type program struct {
	*exec.Cmd
	out    *bufio.Reader
	errors strings.Builder
	tmp    string
}

// relaystore runs the built program with a TMPDIR of its own.
func relaystore(t *testing.T, env []string, args ...string) *program {
	t.Helper()
	return relaystoreWithInput(t, env, "", args...)
}

func relaystoreWithInput(t *testing.T, env []string, input string, args ...string) *program {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	return startWithInput(t, path, env, input, args...)
}

func start(t *testing.T, path string, env []string, args ...string) *program {
	t.Helper()
	return startWithInput(t, path, env, "", args...)
}

func startWithInput(t *testing.T, path string, env []string, input string, args ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command(path, args...), tmp: openTempDir(t)}
	p.Env = append(os.Environ(), append(env, "TMPDIR="+p.tmp)...)
	p.Stderr = &p.errors
	if input != "" {
		p.Stdin = strings.NewReader(input)
	}
	out, err := p.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	})
	p.out = bufio.NewReader(out)
	return p
}

// openTempDir is a temporary folder that the servers' user may go into.
func openTempDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}

func (p *program) line(t *testing.T) string {
	t.Helper()
	line, err := p.out.ReadString('\n')
	require.NoError(t, err, "after %q", line)
	return strings.TrimSpace(line)
}

// finish returns the remaining output and the exit code.
func (p *program) finish(t *testing.T) (string, int) {
	t.Helper()
	out, err := io.ReadAll(p.out)
	require.NoError(t, err)
	_ = p.Wait()
	return string(out), p.ProcessState.ExitCode()
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]int{
		"":                                 exitOK,
		"dev --help":                       exitOK,
		"help dev":                         exitOK,
		"help keys list":                   exitOK,
		"help nonsense":                    exitUsage,
		"help keys nonsense":               exitUsage,
		"nonsense":                         exitUsage,
		"--nonsense":                       exitUsage,
		"dev --nonsense":                   exitUsage,
		"dev -- /no/such/program":          exitNoCommand,
		"dev --only-missing no-such-thing": exitNoCommand,
	} {
		p := relaystore(t, otherURLs, strings.Fields(line)...)
		_, code := p.finish(t)
		require.Equal(t, want, code, line)
		if want != exitOK {
			require.Regexp(t, `\Arelaystore: [^\n]+\n\z`, p.errors.String(), line)
		}
	}
}

func entries(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	found, err := os.ReadDir(dir)
	require.NoError(t, err)
	return found
}

// processesIn lists processes whose working folder is or was in dir.
func processesIn(dir string) []string {
	var found []string
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		if cwd, err := os.Readlink(link); err == nil && strings.HasPrefix(cwd, dir+"/") {
			found = append(found, link)
		}
	}
	return found
}
