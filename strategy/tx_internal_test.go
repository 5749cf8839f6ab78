package strategy

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// A way of calling that does not know transactions must not work beside one.
func TestNoConnectionOfItsOwnInsideATransaction(t *testing.T) {
	t.Parallel()
	_, err := (&Postgres{scope: &scope{}}).acquire(t.Context())
	require.ErrorIs(t, err, result.InvalidQuery)
}
