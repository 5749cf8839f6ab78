// Package docs holds what users read beside the README, and tests that what both
// say works.
package docs

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
)

const root = ".."

// blocks gives the README's code blocks of one language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	var found []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		found = append(found, m[1])
	}
	require.NotEmpty(t, found)
	return found
}

func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir, c.Env = root, append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

func TestReadmeMain(t *testing.T) {
	t.Parallel()
	programs := blocks(t, "go")
	require.Len(t, programs, 1)
	file := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(file, []byte(programs[0]), 0o600))
	env := []string{"DATABASE_URL=" + testdb.URL(t), "REDIS_URL=" + testdb.RedisURL(t), "RELAYSTORE_KEY_PREFIX=" + testdb.Prefix(t)}
	require.Equal(t, "recorded: true\n", run(t, env, "go", "run", file))
}

// freePort is one that nobody has now: the README's own may be in use.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// make test is what runs this test.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	var said strings.Builder
	here := strings.NewReplacer("make test\n", "", "8080", freePort(t))
	for _, block := range blocks(t, "sh") {
		said.WriteString(run(t, nil, "sh", "-ec", here.Replace(block)))
	}
	for _, want := range []string{"nothing is left behind", "1 of 1 keys.", "1 of 1 accounts.", "Sealed the secrets of 1 accounts", "No sessions.", "event: message_stop", "0.000054"} {
		require.Contains(t, said.String(), want)
	}
}
