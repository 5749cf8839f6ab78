package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
)

// The sample's records are of 2023, so that all of them are old.
func TestCleanup(t *testing.T) {
	t.Parallel()
	url := testdb.URL(t)
	env := serverEnv(t, url)
	first := replayed(t, env, sample)
	out, code := relaystore(t, env, "cleanup", "--days", "0").finish(t)
	require.Equal(t, exitUsage, code)
	require.Empty(t, out)

	out, code = relaystore(t, env, "cleanup", "--json").finish(t)
	require.Equal(t, exitOK, code)
	require.JSONEq(t, `{"deletedRecords": 400, "remainingRecords": 0}`, out)
	out, code = relaystore(t, env, "cleanup").finish(t)
	require.Equal(t, exitOK, code)
	require.Equal(t, "Deleted 0 records; 0 remain.\n", out)

	again := replayed(t, env, sample) // its requestIds are known
	require.Equal(t, first.Cost, again.Cost, "the figures stay")
	require.EqualValues(t, 400, again.Duplicates)

	_, code = relaystore(t, env, "cleanup", "--rollups").finish(t)
	require.Equal(t, exitOK, code)
	var rollups int
	require.NoError(t, testdb.Pool(t, url).QueryRow(t.Context(), "SELECT count(*) FROM usage_rollups").Scan(&rollups))
	require.Zero(t, rollups)
}
