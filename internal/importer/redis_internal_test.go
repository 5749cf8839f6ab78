package importer

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/internal/testdb"
)

// What expires between its type and its value is gone; what may not be read is an error.
func TestEntriesThatAreNotThere(t *testing.T) {
	t.Parallel()
	r, err := OpenRedis(testdb.RedisServer(t).URL())
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	do := func(words ...string) {
		require.NoError(t, r.client.Do(t.Context(), r.client.B().Arbitrary(words[0]).Args(words[1:]...).Build()).Error())
	}
	names := []legacy.Name{{Kind: legacy.KeyCost, ID: "gone", Resolution: legacy.Total}, {Kind: legacy.KeyCost, ID: "kept", Resolution: legacy.Total}, {Kind: legacy.KeyUsage, ID: "other", Resolution: legacy.Total}}
	typed := func() (all []Entry) {
		for _, n := range names {
			all = append(all, Entry{Name: n, Key: n.Key(), Type: wanted(n)})
		}
		return all
	}
	do("SET", names[1].Key(), "1.5")
	do("SET", names[2].Key(), "a hash before")
	entries, err := r.values(t.Context(), typed())
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, "1.5", entries[0].Text)

	do("ACL", "SETUSER", "default", "-get")
	_, err = r.values(t.Context(), typed())
	require.ErrorContains(t, err, "does not answer")
}
