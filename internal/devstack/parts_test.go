package devstack

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Where the kernel does not stop the servers, the janitor does.
func TestJanitorStopsServers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "servers")
	j, err := startJanitor(dir)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "data"), 0o700))
	server := exec.Command("sleep", "1000")
	server.ExtraFiles = []*os.File{j.servers}
	require.NoError(t, server.Start())
	require.NoError(t, j.watch(syscall.SIGQUIT, server.Process.Pid))
	require.NoError(t, j.close())
	require.Error(t, server.Wait())
	require.Equal(t, syscall.SIGQUIT, server.ProcessState.Sys().(syscall.WaitStatus).Signal())
	require.NoDirExists(t, dir)
}

func TestNewestFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"9", "15", "postgresql@16", "pgsql-17"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name, "bin"), 0o700))
	}
	var names []string
	for _, bin := range newestFirst(filepath.Join(dir, "*", "bin")) {
		names = append(names, filepath.Base(filepath.Dir(bin)))
	}
	require.Equal(t, []string{"pgsql-17", "postgresql@16", "15", "9"}, names)
}

func TestFindDirFollowsLinks(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	for _, name := range []string{"real/one", "real/two", "links/one"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "real/one"), nil, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "real/two"), nil, 0o755))
	require.NoError(t, os.Symlink("../real/one", filepath.Join(dir, "links/one")))
	require.Equal(t, filepath.Join(dir, "real"), findDir(account{}, []string{filepath.Join(dir, "links")}, "one", "two"))
	require.Empty(t, findDir(account{}, []string{filepath.Join(dir, "links")}, "one", "three"))
}

func TestMissingError(t *testing.T) {
	t.Parallel()
	err := &MissingError{Programs: []string{"initdb", "redis-server"}}
	require.EqualError(t, err, "devstack: initdb, redis-server not found: install postgresql postgresql-contrib redis-server "+
		"(Homebrew: postgresql redis); on Debian and Ubuntu make does it")
}

func TestDatabaseURLEscapes(t *testing.T) {
	t.Parallel()
	dir := "/tmp/it's a+b&c?d=e%f"
	text := databaseURL(dir, "relaystore")
	_, err := url.Parse(text)
	require.NoError(t, err)
	require.NotContains(t, text, "'")
	config, err := pgx.ParseConfig(text)
	require.NoError(t, err)
	require.Equal(t, dir+"/pg", config.Host)
	require.Equal(t, "relaystore", config.Database)
	require.Equal(t, uint16(5432), config.Port)
}
