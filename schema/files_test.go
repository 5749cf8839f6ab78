package schema_test

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/schema"
)

var fileName = regexp.MustCompile(`^\d{5}_[a-z][a-z0-9_]*\.sql$`)

// Numbers leave no gap, and each migration says how to take it back.
func TestFiles(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(schema.FS(), "*")
	require.NoError(t, err)
	require.Len(t, names, len(schema.Versions()))
	for i, name := range names {
		require.EqualValues(t, i+1, schema.Versions()[i])
		require.Regexp(t, fileName, name)
		text, err := fs.ReadFile(schema.FS(), name)
		require.NoError(t, err)
		up, down, found := strings.Cut(string(text), "\n-- +goose Down\n")
		require.True(t, found, name)
		require.True(t, strings.HasPrefix(up, "-- +goose Up\n"), name)
		for _, part := range []string{strings.TrimPrefix(up, "-- +goose Up\n"), down} {
			require.NotEmpty(t, statements(part), name)
		}
	}
}

// statements is a part without its comments.
func statements(part string) string {
	return strings.TrimSpace(regexp.MustCompile(`(?m)--.*$`).ReplaceAllString(part, ""))
}
