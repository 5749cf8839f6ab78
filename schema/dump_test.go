package schema_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/schema"
)

func newest() int64 { return schema.Versions()[len(schema.Versions())-1] }

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	empty := b.structure()
	applied, err := b.migrator.Up(t.Context())
	require.NoError(t, err)
	require.Equal(t, schema.Versions(), applied)
	up := b.structure()
	require.NotEqual(t, empty, up)
	applied, err = b.migrator.Up(t.Context())
	require.NoError(t, err)
	require.Empty(t, applied)

	undone, err := b.migrator.DownTo(t.Context(), 0)
	require.NoError(t, err)
	require.ElementsMatch(t, schema.Versions(), undone)
	require.Equal(t, empty, b.structure())
	version, err := b.migrator.Down(t.Context())
	require.NoError(t, err)
	require.Zero(t, version)

	_, err = b.migrator.Up(t.Context())
	require.NoError(t, err)
	require.Equal(t, up, b.structure())
}

// Each step down leaves what was before its step up, and up again gives the same.
func TestStepByStep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	steps := b.goose(schema.FS())
	dumps := []string{b.structure()}
	for _, v := range schema.Versions() {
		require.Equal(t, v, b.upByOne(steps))
		up := b.structure()
		b.down(v)
		require.Equal(t, dumps[len(dumps)-1], b.structure(), v)
		require.Equal(t, v, b.upByOne(steps))
		require.Equal(t, up, b.structure(), v)
		dumps = append(dumps, up)
	}
	require.Zero(t, b.upByOne(steps))
	for i, v := range slices.Backward(schema.Versions()) {
		require.Equal(t, dumps[i+1], b.structure(), v)
		b.down(v)
	}
	require.Equal(t, dumps[0], b.structure())
}

// The plain goose CLI takes the folder as it is.
func TestFolder(t *testing.T) {
	t.Parallel()
	embedded, folder := setup(t), setup(t)
	_, err := embedded.migrator.Up(t.Context())
	require.NoError(t, err)
	done, err := folder.goose(os.DirFS(".")).Up(t.Context())
	require.NoError(t, err)
	require.Len(t, done, len(schema.Versions()))
	require.Equal(t, embedded.structure(), folder.structure())
	require.NoError(t, schema.Check(t.Context(), folder.pool))
	version, err := folder.migrator.Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, newest(), version)
}

func TestStatus(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, schema.Versions()[0], b.upByOne(b.goose(schema.FS())))
	status, err := b.migrator.Status(t.Context())
	require.NoError(t, err)
	for i, v := range schema.Versions() {
		require.Equal(t, v, status[i].Version)
		require.True(t, strings.HasSuffix(status[i].Name, ".sql"))
		require.Equal(t, i > 0, status[i].AppliedAt.IsZero())
	}
}

func TestOpenWithAWrongURL(t *testing.T) {
	t.Parallel()
	_, err := schema.Open("postgres://user:secret@host:port/db")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
	require.Error(t, schema.Migrate(context.Background(), "postgres://user:secret@host:port/db"))
}
