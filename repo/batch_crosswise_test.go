package repo_test

import (
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
)

// Four clients change the same keys in opposite orders, named by id and by hash, with
// statements of one row each: none starves.
func TestBatchesInOppositeOrders(t *testing.T) {
	b := setup(t, enoughFor16)
	wheres := make([]map[string]any, 20)
	for i := range wheres {
		k := b.key(b.Client, apikeys.KeyData{})
		wheres[i] = []map[string]any{
			{"id": k.ID}, {"hashed_key": k.HashedKey}, {"id": map[string]any{"in": []string{k.ID}}, "is_active": true},
		}[i%3]
	}
	const each = 4
	var callers sync.WaitGroup
	errs := make([][]error, 4)
	for i := range errs {
		callers.Go(func() {
			for n := range each {
				var ops []batch.Operation
				for j, where := range wheres {
					column := []string{"description", "created_by"}[j%2] // so that no two are one statement
					ops = append(ops, batch.Operation{Type: batch.Update, Table: "api_keys", Data: map[string]any{column: strconv.Itoa(i*each + n)}, Where: where})
				}
				if i%2 == 1 {
					slices.Reverse(ops)
				}
				level := []repo.IsolationLevel{repo.ReadCommitted, repo.Serializable}[n%2]
				errs[i] = append(errs[i], b.Transactions.BatchOperation(t.Context(), ops, repo.TxOptions{IsolationLevel: level}).Err())
			}
		})
	}
	callers.Wait()
	for _, err := range slices.Concat(errs...) {
		require.NoError(t, err)
	}
	require.Equal(t, 2, b.count("SELECT count(DISTINCT (description, created_by)) FROM api_keys"), "all of one batch, or none")
}
