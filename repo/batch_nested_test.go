package repo_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
)

// A batch inside a transaction has the transaction's time, not the config's: it waits
// for a lock for longer than that.
func TestBatchInsideHasTheTransactionsTime(t *testing.T) {
	b := setup(t, func(c *repo.Config) { c.TxTimeout = 200 * time.Millisecond })
	k := b.key(b.Client, apikeys.KeyData{})
	blocker, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = blocker.Rollback(context.Background()) }()
	_, err = blocker.Exec(t.Context(), "SELECT FROM api_keys WHERE id = $1 FOR UPDATE", k.ID)
	require.NoError(t, err)
	op := batch.Operation{Type: batch.Update, Table: "api_keys", Data: map[string]any{"description": "x"}, Where: map[string]any{"id": k.ID}}
	inner := make(chan error, 1)
	go func() {
		inner <- b.Transactions.InTransaction(t.Context(), repo.TxOptions{Timeout: time.Minute}, func(c *repo.Client) error {
			return c.Transactions.BatchOperation(t.Context(), []batch.Operation{op}, repo.TxOptions{}).Err()
		})
	}()
	require.Eventually(t, func() bool { // it has waited for longer than the config's time
		return b.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
			AND clock_timestamp() - query_start > interval '400 ms'`) == 1 || len(inner) > 0
	}, time.Minute, time.Millisecond)
	require.NoError(t, blocker.Rollback(t.Context()))
	require.NoError(t, <-inner)
	require.Equal(t, 1, b.count("SELECT count(*) FROM api_keys WHERE description = 'x'"))
}
