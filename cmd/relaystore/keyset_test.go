package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testdb"
)

// ran gives what a command prints; it must succeed.
func ran(t *testing.T, env []string, args ...string) string {
	t.Helper()
	p := relaystore(t, env, args...)
	out, code := p.finish(t)
	require.Equal(t, exitOK, code, p.errors.String())
	require.Empty(t, p.errors.String())
	return out
}

// failed gives the one line in which a command tells why it fails.
func failed(t *testing.T, env []string, args ...string) string {
	t.Helper()
	p := relaystore(t, env, args...)
	out, code := p.finish(t)
	require.Contains(t, []int{exitFailure, exitUsage}, code, p.errors.String())
	require.Empty(t, out)
	require.Regexp(t, `\Arelaystore: [^\n]+\n\z`, p.errors.String())
	return p.errors.String()
}

func keysOfFile(t *testing.T, env []string) (list struct{ Keys []seal.Key }) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(ran(t, env, "keyset", "list", "--json")), &list))
	return list
}

func keysetEnv(t *testing.T) (env []string, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "keyset.json")
	return []string{"RELAYSTORE_KEYSET_FILE=" + path, "RELAYSTORE_KEYSET="}, path
}

func TestKeysetRotatesInTwoSteps(t *testing.T) {
	t.Parallel()
	env, path := keysetEnv(t)
	require.Contains(t, ran(t, env, "keyset", "create"), "Back it up")
	first := keysOfFile(t, env).Keys
	require.Len(t, first, 1)
	require.True(t, first[0].Primary)
	require.Equal(t, "enabled", first[0].Status)
	require.Contains(t, failed(t, env, "keyset", "create"), "exists already")

	ran(t, env, "keyset", "rotate")
	added := keysOfFile(t, env).Keys
	require.Equal(t, first[0], added[0])
	require.False(t, added[1].Primary)

	ran(t, env, "keyset", "promote")
	promoted := keysOfFile(t, env).Keys
	require.Equal(t, []bool{false, true}, []bool{promoted[0].Primary, promoted[1].Primary})
	ran(t, env, "keyset", "promote", strconv.FormatUint(uint64(first[0].ID), 10))
	require.Equal(t, added, keysOfFile(t, env).Keys, "and back")

	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	require.Len(t, entries(t, filepath.Dir(path)), 1)
}

func TestKeysetShowsNoKeyMaterial(t *testing.T) {
	t.Parallel()
	env, path := keysetEnv(t)
	shown := ran(t, env, "keyset", "create") + ran(t, env, "keyset", "rotate") + ran(t, env, "keyset", "promote") +
		ran(t, env, "keyset", "list") + ran(t, env, "keyset", "list", "--json")
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	values := regexp.MustCompile(`"value":"([^"]+)"`).FindAllStringSubmatch(string(file), -1)
	require.Len(t, values, 2)
	for _, v := range values {
		require.NotContains(t, shown, v[1])
	}
}

func TestKeysetFails(t *testing.T) {
	t.Parallel()
	env, path := keysetEnv(t)
	require.Contains(t, failed(t, env, "keyset", "list"), "no such file")
	require.Contains(t, failed(t, append(env, "DATABASE_URL="+testdb.URL(t)), "keys", "list"), "relaystore keyset create makes it")
	require.Contains(t, failed(t, env, "keyset", "rotate"), "no such file")
	require.Contains(t, failed(t, []string{"RELAYSTORE_KEYSET_FILE="}, "keyset", "list"), "RELAYSTORE_KEYSET_FILE: required, or --file")
	require.Contains(t, failed(t, env, "keyset", "create", "--file", filepath.Join(path, "no", "folder")), "no such file")
	ran(t, env, "keyset", "create")
	for _, id := range []string{"7", "x", "99999999999"} {
		require.Contains(t, failed(t, env, "keyset", "promote", id), "ID: ")
	}
	require.NoError(t, os.Chmod(path, 0o640))
	require.Contains(t, failed(t, env, "keyset", "list"), "chmod 600")
	require.Contains(t, failed(t, append(env, "DATABASE_URL=postgres://127.0.0.1:1/x"), "reseal"), "RELAYSTORE_KEYSET_FILE: ")
	require.NoError(t, os.Chmod(path, 0o600))
	require.NoError(t, os.WriteFile(path, []byte(`{"hunter2": true}`), 0o600))
	line := failed(t, env, "keyset", "rotate")
	require.Contains(t, line, seal.ErrKeyset.Error())
	require.NotContains(t, line, "hunter2")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, `{"hunter2": true}`, string(content), "what cannot be read is not replaced")

	p := relaystore(t, env, strings.Fields("keyset promote 1 2")...)
	_, code := p.finish(t)
	require.Equal(t, exitUsage, code)
}
