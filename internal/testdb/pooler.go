package testdb

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Pooled gives a URL that leads to the database at url through a PgBouncer in
// transaction mode, which ends with the test.
func Pooled(t testing.TB, url string) string {
	t.Helper()
	p, err := redisStack(t).AddPooler(t.Context(), url)
	require.NoError(t, err)
	return p.DatabaseURL
}
