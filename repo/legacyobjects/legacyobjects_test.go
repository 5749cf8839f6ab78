package legacyobjects_test

import (
	"bytes"
	"errors"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/legacyobjects"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestObjectsAreSealedAndKept(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	var err error
	cfg.Keyset, err = seal.Generate()
	require.NoError(t, err)
	r := testclient.Open(t, cfg).LegacyObjects
	objects := []legacyobjects.Object{{Kind: "user", ID: "u1", Data: []byte("a secret")}, {Kind: "user", ID: "u2", Data: []byte("\x00\xff")}}
	changed, err := r.Put(t.Context(), objects)
	require.NoError(t, err)
	require.EqualValues(t, 2, changed)
	changed, err = r.Put(t.Context(), objects)
	require.NoError(t, err)
	require.Zero(t, changed, "they are the same")
	listed, err := r.List(t.Context(), "user", "", 10)
	require.NoError(t, err)
	require.Equal(t, objects, listed)

	var stored []byte
	pool := testdb.Pool(t, cfg.DatabaseURL)
	read := func() []byte {
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT data FROM legacy_objects WHERE id = 'u1'").Scan(&stored))
		return bytes.Clone(stored)
	}
	before := read()
	require.NotContains(t, string(before), "secret")

	m := keyset.NewManagerFromHandle(cfg.Keyset)
	id, err := seal.AddKey(m)
	require.NoError(t, err)
	require.NoError(t, m.SetPrimary(id))
	cfg.Keyset, err = m.Handle()
	require.NoError(t, err)
	r = testclient.Open(t, cfg).LegacyObjects
	done, err := r.Reseal(t.Context())
	require.NoError(t, err)
	require.Equal(t, legacyobjects.Resealed{Objects: 2}, done)
	require.NotEqual(t, before[:seal.PrefixSize], read()[:seal.PrefixSize], "another key has sealed it")
	listed, err = r.List(t.Context(), "user", "", 10)
	require.NoError(t, err)
	require.Equal(t, objects, listed)

	cfg.Keyset, err = seal.Generate()
	require.NoError(t, err)
	r = testclient.Open(t, cfg).LegacyObjects
	done, err = r.Reseal(t.Context())
	require.NoError(t, err)
	require.Equal(t, legacyobjects.Resealed{Unopened: 2}, done)
	_, err = r.List(t.Context(), "user", "", 10)
	require.ErrorIs(t, err, result.Internal)
	require.NotContains(t, err.Error(), "secret")
}

// Large objects come a few at a time, so that a list of them is bounded in memory.
func TestListsAreBoundedByBytes(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	var err error
	cfg.Keyset, err = seal.Generate()
	require.NoError(t, err)
	r := testclient.Open(t, cfg).LegacyObjects
	large := make([]byte, legacyobjects.MaxData/3)
	for id := range 5 {
		_, err := r.Put(t.Context(), []legacyobjects.Object{{Kind: "k", ID: strconv.Itoa(id), Data: large}})
		require.NoError(t, err)
	}
	var listed []int
	for after := ""; ; {
		page, err := r.List(t.Context(), "k", after, 10)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		listed, after = append(listed, len(page)), page[len(page)-1].ID
	}
	require.Equal(t, []int{3, 2}, listed)
	cfg.Keyset, err = seal.Generate()
	require.NoError(t, err)
	done, err := testclient.Open(t, cfg).LegacyObjects.Reseal(t.Context())
	require.NoError(t, err)
	require.Equal(t, legacyobjects.Resealed{Unopened: 5}, done, "it goes on as well")
}

func TestPutRefuses(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	r := testclient.Open(t, cfg).LegacyObjects
	one := legacyobjects.Object{Kind: "k", ID: "i", Data: []byte("d")}
	_, err := r.Put(t.Context(), []legacyobjects.Object{one})
	require.Equal(t, "RELAYSTORE_KEYSET", result.From(err).Details["field"])
	cfg.Keyset, err = seal.Generate()
	require.NoError(t, err)
	r = testclient.Open(t, cfg).LegacyObjects
	for field, objects := range map[string][]legacyobjects.Object{
		"kind": {{ID: "i", Data: []byte("d")}}, "data": {{Kind: "k", ID: "i"}}, "id": {one, one}, "objects": make([]legacyobjects.Object, legacyobjects.MaxPut+1),
	} {
		_, err := r.Put(t.Context(), objects)
		require.ErrorIs(t, err, result.InvalidQuery)
		require.Equal(t, field, result.From(err).Details["field"])
	}
}

func TestObjectsInTransactions(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	var err error
	cfg.Keyset, err = seal.Generate()
	require.NoError(t, err)
	client := testclient.Open(t, cfg)
	undone := errors.New("undone")
	for id, outcome := range map[string]error{"kept": nil, "undone": undone} {
		require.Equal(t, outcome, client.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(in *repo.Client) error {
			objects := []legacyobjects.Object{{Kind: "user", ID: id, Data: []byte("d")}}
			_, err := in.LegacyObjects.Put(t.Context(), objects)
			require.NoError(t, err)
			listed, err := in.LegacyObjects.List(t.Context(), "user", "", 10)
			require.NoError(t, err)
			require.Contains(t, listed, objects[0])
			return outcome
		}))
	}
	listed, err := client.LegacyObjects.List(t.Context(), "user", "", 10)
	require.NoError(t, err)
	require.Equal(t, []legacyobjects.Object{{Kind: "user", ID: "kept", Data: []byte("d")}}, listed)
}
