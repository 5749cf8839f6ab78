package repo

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// The client is closed while a transaction begins: it does not stay open.
func TestTransactionBeginsDuringClose(t *testing.T) {
	t.Parallel()
	pool := testdb.Pool(t, testdb.EmptyURL(t))
	o := newOpenTransactions(1, time.Minute)
	o.closed = true
	_, _, err := o.begin(t.Context(), &strategy.Postgres{Pool: pool, OpTimeout: time.Minute}, TxOptions{Timeout: time.Minute})
	require.ErrorIs(t, err, result.ConnectionFailed)
	require.Empty(t, o.byID)
	require.EqualValues(t, 0, pool.Stat().AcquiredConns())
	require.True(t, o.slots.TryAcquire(1))
}

// Its time is up before it is known: nothing of it stays.
func TestTransactionEndsWhileItBegins(t *testing.T) {
	t.Parallel()
	o := newOpenTransactions(1, time.Minute)
	require.True(t, o.keep(uuid.New(), nil))
	require.Empty(t, o.byID)
}
