package repo_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
)

// Operations of one shape are many times faster together than one by one. The test
// says how much, and fails only where it is not even three times.
func TestBatchSpeed(t *testing.T) {
	b := setup(t)
	const single, many = 200, 4000
	ids := make([]string, 0, single+many)
	shapes := []struct {
		name string
		op   func(i int) batch.Operation
	}{
		{"create", func(int) batch.Operation {
			return batch.Operation{Type: batch.Create, Table: "api_keys", Data: map[string]any{"name": "n", "user_id": "u", "daily_cost_limit": 5}}
		}},
		{"update", func(i int) batch.Operation {
			return batch.Operation{Type: batch.Update, Table: "api_keys", Data: map[string]any{"is_active": false}, Where: map[string]any{"id": ids[i]}}
		}},
		{"delete", func(i int) batch.Operation {
			return batch.Operation{Type: batch.Delete, Table: "api_keys", Where: map[string]any{"id": ids[i]}}
		}},
	}
	run := func(ops []batch.Operation) {
		results, err := b.Transactions.BatchOperation(t.Context(), ops, repo.TxOptions{}).Get()
		require.NoError(t, err)
		for _, r := range results {
			if k, ok := r.(apikeys.BatchCreated); ok {
				ids = append(ids, k.ID)
			}
		}
	}
	for _, s := range shapes {
		begin := time.Now()
		for i := range single {
			run([]batch.Operation{s.op(i)})
		}
		one := time.Since(begin) / single
		ops := make([]batch.Operation, many)
		for i := range ops {
			ops[i] = s.op(single + i)
		}
		begin = time.Now()
		run(ops)
		together := time.Since(begin) / many
		t.Logf("%s: %s one by one, %s in a batch of %d, %.0f times as fast", s.name, one, together, many, float64(one)/float64(together))
		require.Greater(t, one, 3*together)
	}
	require.Equal(t, single+many, b.count("SELECT count(*) FROM api_keys WHERE deleted_at IS NOT NULL"))
}
