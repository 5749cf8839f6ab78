// Package docs holds what users read beside the README, and tests that what both
// say works.
package docs

import (
	"context"
	"encoding/json"
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
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/batch"
)

const root = ".."

// blocks gives a page's code blocks of one language.
func blocks(t *testing.T, page, language string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	require.NoError(t, err)
	var found []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
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

// The pages' programs, and what each prints.
func TestPrograms(t *testing.T) {
	t.Parallel()
	for page, want := range map[string]string{
		"README.md":            "recorded: true\n",
		"docs/transactions.md": "rotated: true\nupdated: 1\n",
	} {
		programs := blocks(t, page, "go")
		require.Len(t, programs, 1)
		file := filepath.Join(t.TempDir(), "main.go")
		require.NoError(t, os.WriteFile(file, []byte(programs[0]), 0o600))
		env := []string{"DATABASE_URL=" + testdb.URL(t), "REDIS_URL=" + testdb.RedisURL(t), "RELAYSTORE_KEY_PREFIX=" + testdb.Prefix(t)}
		require.Equal(t, want, run(t, env, "go", "run", file))
	}
}

// Each where that the page shows is one that a batch takes.
func TestWheres(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("transactions.md")
	require.NoError(t, err)
	client, err := repo.Open(t.Context(), repo.Config{DatabaseURL: testdb.URL(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close(context.Background())) })
	wheres := regexp.MustCompile("(?m)^\\| `({.*?})` \\|").FindAllStringSubmatch(string(text), -1)
	require.Len(t, wheres, 6)
	for _, where := range wheres {
		var op batch.Operation
		require.NoError(t, json.Unmarshal([]byte(`{"type":"delete","table":"api_keys","where":`+where[1]+`}`), &op))
		require.NoError(t, client.Transactions.BatchOperation(t.Context(), []batch.Operation{op}, repo.TxOptions{}).Err(), where[1])
	}
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
	for _, block := range blocks(t, "README.md", "sh") {
		said.WriteString(run(t, nil, "sh", "-ec", here.Replace(block)))
	}
	for _, want := range []string{"nothing is left behind", "1 of 1 keys.", "1 of 1 accounts.", "Sealed the secrets of 1 accounts", "No sessions.", "event: message_stop", "0.000054"} {
		require.Contains(t, said.String(), want)
	}
}
