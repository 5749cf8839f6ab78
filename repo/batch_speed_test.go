package repo_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
)

// Operations of one shape are many times faster together than one by one: 23 to 33
// times here. Of three tries the best one counts, so that a busy machine fails none.
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
	best := make([]float64, len(shapes))
	for range 3 {
		ids = ids[:0]
		for i, s := range shapes {
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
			best[i] = max(best[i], float64(one)/float64(together))
			t.Logf("%s: %s one by one, %s in a batch of %d, %.0f times as fast", s.name, one, together, many, float64(one)/float64(together))
		}
	}
	for i, s := range shapes {
		require.Greater(t, best[i], 10., s.name)
	}
	require.Equal(t, 3*(single+many), b.count("SELECT count(*) FROM api_keys WHERE deleted_at IS NOT NULL"))
}

// The largest batch creates keys, and the next one disables them: no client takes one
// of them any more.
func TestLargestBatch(t *testing.T) {
	b := setup(t)
	other := testclient.Open(t, b.cfg)
	ops := make([]batch.Operation, batch.MaxOperations)
	for i := range ops {
		ops[i] = batch.Operation{Type: batch.Create, Table: "api_keys", Data: map[string]any{"name": "n"}}
	}
	results, err := b.Transactions.BatchOperation(t.Context(), ops, repo.TxOptions{}).Get()
	require.NoError(t, err)
	hashes := make([]string, len(ops))
	for i, r := range results {
		k := r.(apikeys.BatchCreated)
		hashes[i] = k.HashedKey
		ops[i] = batch.Operation{Type: batch.Update, Table: "api_keys", Data: map[string]any{"is_active": false}, Where: map[string]any{"id": k.ID}}
	}
	seen := hashes[:1000]
	for _, h := range seen {
		require.True(t, b.active(b.Client, h))
		require.True(t, b.active(other, h))
	}
	require.NoError(t, b.Transactions.BatchOperation(t.Context(), ops, repo.TxOptions{}).Err())
	require.Equal(t, len(ops), b.count("SELECT count(*) FROM api_keys WHERE NOT is_active"))
	for _, h := range seen {
		require.False(t, b.active(b.Client, h))
		require.Eventually(t, func() bool { return !b.active(other, h) }, time.Minute, time.Millisecond)
	}
}
