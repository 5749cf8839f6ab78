package devstack

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// roleVar makes the test binary, run by a test, play a part in it.
const roleVar = "RELAYSTORE_DEVSTACK_ROLE"

// patience is far more than anything here takes on a busy machine.
const patience = 90 * time.Second

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVar); role {
	case "":
		os.Exit(m.Run())
	case "owner":
		os.Exit(playOwner())
	case "runner":
		os.Exit(playRunner())
	case "counter":
		os.Exit(playCounter())
	default:
		panic("unknown role " + role)
	}
}

// playOwner starts both servers, says so and goes on until SIGTERM.
func playOwner() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := Start(ctx, Options{})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("up", s.DatabaseURL, s.RedisURL)
	<-ctx.Done()
	if err := s.Close(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// helper is the test binary in a role.
type helper struct {
	*exec.Cmd
	out *bufio.Reader
}

func play(t *testing.T, role string, env ...string) *helper {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), env...), roleVar+"="+role)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &helper{Cmd: cmd, out: bufio.NewReader(out)}
}

func (h *helper) line(t *testing.T) string {
	t.Helper()
	line, err := h.out.ReadString('\n')
	require.NoError(t, err, "after %q", line)
	return strings.TrimSpace(line)
}

// finish returns the remaining output and the exit code.
func (h *helper) finish(t *testing.T) (string, int) {
	t.Helper()
	rest, err := io.ReadAll(h.out)
	require.NoError(t, err)
	_ = h.Wait()
	return string(rest), h.ProcessState.ExitCode()
}

// openTempDir is a temporary folder that a server's account may go into.
func openTempDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	a, err := serverAccount()
	require.NoError(t, err)
	require.True(t, suits(dir, "0123456789abcdef", a), "TMPDIR is closed to the servers' user, or too long: %s", dir)
	return dir
}

// requireGone waits until nothing is in dir and no process works there.
func requireGone(t *testing.T, dir string) {
	t.Helper()
	require.Eventually(t, func() bool {
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		return err == nil && len(left) == 0 && len(processesIn(dir)) == 0
	}, patience, 20*time.Millisecond)
}

// processesIn lists processes whose working folder is or was in dir, as that
// of every server is. Without /proc there are none to see.
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
