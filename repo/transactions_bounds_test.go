package repo_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// As many as may be open: the next one waits for its turn or its deadline, and
// calls outside go on.
func TestTransactionsAreBounded(t *testing.T) {
	b := setup(t, func(c *repo.Config) { c.MaxConns, c.MaxTransactions = 4, 3 })
	held := []repo.Tx{b.begin(repo.TxOptions{}), b.begin(repo.TxOptions{}), b.begin(repo.TxOptions{})}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := b.Transactions.BeginTransaction(ctx, repo.TxOptions{})
	require.ErrorIs(t, err, result.PoolExhausted)
	require.ErrorIs(t, b.Transactions.BatchOperation(ctx, nil, repo.TxOptions{}).Err(), result.PoolExhausted)
	b.key(b.Client, apikeys.KeyData{})
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, err = b.Transactions.BeginTransaction(gone, repo.TxOptions{})
	require.ErrorIs(t, err, result.Cancelled)

	next := make(chan error, 1)
	go func() {
		tx, err := b.Transactions.BeginTransaction(context.Background(), repo.TxOptions{})
		next <- err
		next <- b.Transactions.RollbackTransaction(context.Background(), tx.TransactionID).Err()
	}()
	b.commit(held[0])
	require.NoError(t, <-next)
	require.NoError(t, <-next)
	for range 20 { // each end gives its place back, also one by its time
		b.begin(repo.TxOptions{Timeout: time.Millisecond})
	}
	b.commit(held[1])
}

func TestTransactionsNeedASecondConnection(t *testing.T) {
	b := setup(t, func(c *repo.Config) { c.MaxConns, c.RedisURL, c.RequireRedis = 1, "", false })
	_, err := b.Transactions.BeginTransaction(t.Context(), repo.TxOptions{})
	require.ErrorIs(t, err, result.PoolExhausted)
	require.ErrorContains(t, err, "two connections")
}

func TestCloseRollsTransactionsBack(t *testing.T) {
	b := setup(t)
	long := repo.TxOptions{Timeout: 10 * time.Minute} // longer than the test may take
	tx, idle := b.begin(long), b.begin(long)
	b.key(tx.Client, apikeys.KeyData{})
	require.NoError(t, b.Close(context.Background()))
	b.allEnd()
	require.Zero(t, b.count("SELECT count(*) FROM api_keys"))
	for _, id := range []string{tx.TransactionID, idle.TransactionID} {
		require.ErrorIs(t, b.Transactions.CommitTransaction(t.Context(), id).Err(), result.TransactionClosed)
	}
	require.ErrorIs(t, tx.Client.APIKeys.GetAPIKey(t.Context(), uuid.NewString()).Err(), result.TransactionClosed)
	_, err := b.Transactions.BeginTransaction(t.Context(), repo.TxOptions{})
	require.ErrorIs(t, err, result.ConnectionFailed)
}
