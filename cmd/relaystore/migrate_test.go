package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/schema"
)

func TestMigrateUpAndDown(t *testing.T) {
	t.Parallel()
	env := serverEnv(t, testdb.EmptyURL(t))
	run := func(args ...string) (f versionFigures) {
		p := relaystore(t, env, append([]string{"migrate", "--json"}, args...)...)
		out, code := p.finish(t)
		require.Equal(t, exitOK, code, p.errors.String())
		require.NoError(t, json.Unmarshal([]byte(out), &f))
		return f
	}
	known := schema.Versions()
	newest := known[len(known)-1]
	require.Zero(t, run("version").Version)
	require.Equal(t, versionFigures{Version: newest, Applied: known}, run("up"))
	require.Equal(t, versionFigures{Version: newest}, run("up"))
	for i := len(known) - 1; i >= 0; i-- {
		require.Equal(t, []int64{known[i]}, run("down").Removed)
	}
	require.Equal(t, versionFigures{}, run("down"))
	require.Equal(t, newest, run("up").Version)
}

func TestMigrateForAPerson(t *testing.T) {
	t.Parallel()
	env := serverEnv(t, testdb.EmptyURL(t))
	for _, c := range []struct{ command, want string }{
		{"status", "pending"},
		{"up", "the schema is at version"},
		{"up", "The schema is up to date"},
		{"status", "00002_api_keys.sql"},
		{"version", "16"},
		{"down", "Took back migration"},
	} {
		p := relaystore(t, env, "migrate", c.command)
		out, code := p.finish(t)
		require.Equal(t, exitOK, code, p.errors.String())
		require.Contains(t, out, c.want)
	}
}

func TestMigrateFailsInOneCleanLine(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                                    "DATABASE_URL: required",
		"postgres://u:hunter2@127.0.0.1:1/db": "DB_CONNECTION_FAILED",
		"postgres://u:hunter2@%zz":            "cannot be parsed",
	} {
		p := relaystore(t, []string{"DATABASE_URL=" + url, "RELAYSTORE_DIRECT_URL="}, "migrate", "up")
		_, code := p.finish(t)
		require.Equal(t, exitFailure, code, url)
		require.Regexp(t, `\Arelaystore: [^\n]+\n\z`, p.errors.String())
		require.Contains(t, p.errors.String(), want)
		require.NotContains(t, p.errors.String(), "hunter2")
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	p := relaystore(t, nil, "version", "--json")
	out, code := p.finish(t)
	require.Equal(t, exitOK, code)
	var v versionInfo
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.NotEmpty(t, v.Version)
	known := schema.Versions()
	require.Equal(t, known[len(known)-1], v.Schema)
}
