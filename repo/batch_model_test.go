package repo_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// row is what the model knows of a key: id, name, description, user_id, token_limit,
// expires_at, is_active and tags.
type row map[string]any

func (r row) id() string { return r["id"].(string) }

// modelled is an operation and what it means.
type modelled struct {
	batch.Operation

	bad     string // the member that is refused, or ""
	set     row
	matches func(row) bool
}

// model is the table as it should be. Deleted ids stay taken.
type model struct {
	rows  map[string]row
	taken map[string]bool
}

// do gives what a batch should answer: a list of ids an operation, or the error.
func (m *model) do(ops []modelled) (ids [][]string, code result.Code, index int, field string) {
	for i, op := range ops {
		if op.bad != "" {
			return nil, result.InvalidQuery, i, op.bad
		}
	}
	next := model{rows: maps.Clone(m.rows), taken: maps.Clone(m.taken)}
	for i, op := range ops {
		if op.Type == batch.Create && next.taken[op.set.id()] {
			return nil, result.DuplicateKey, i, "id"
		}
		ids = append(ids, next.apply(op))
	}
	*m = next
	return ids, "", 0, ""
}

func (m *model) apply(op modelled) []string {
	if op.Type == batch.Create {
		m.rows[op.set.id()], m.taken[op.set.id()] = op.set, true
		return []string{op.set.id()}
	}
	hit := []string{}
	for id, r := range m.rows {
		if op.matches(r) {
			hit = append(hit, id)
		}
	}
	slices.Sort(hit)
	for _, id := range hit {
		if op.Type == batch.Delete {
			delete(m.rows, id)
			continue
		}
		m.rows[id] = maps.Clone(m.rows[id])
		maps.Copy(m.rows[id], op.set)
	}
	return hit
}

// batches is the property: whatever is tried, the table is what the model says.
func (b *bundle) batches(t *rapid.T) {
	_, err := b.pool.Exec(b.Context(), "DELETE FROM api_keys")
	require.NoError(t, err)
	m := model{rows: map[string]row{}, taken: map[string]bool{}}
	for range rapid.IntRange(1, 4).Draw(t, "batches") {
		ops := rapid.SliceOfN(rapid.Custom(draw), 1, 12).Draw(t, "operations")
		plain := make([]batch.Operation, len(ops))
		for i, op := range ops {
			plain[i] = op.Operation
		}
		want, code, index, field := m.do(ops)
		results, err := b.Transactions.BatchOperation(b.Context(), plain, repo.TxOptions{}).Get()
		if code != "" {
			require.ErrorIs(t, err, code)
			e := result.From(err)
			require.Equal(t, index, e.Details["index"], "%v", e)
			require.Equal(t, field, e.Field(), "%v", e)
		} else {
			require.NoError(t, err)
			require.Equal(t, want, idsOf(results))
		}
		require.Equal(t, m.rows, b.rows(t))
	}
}

func idsOf(results []any) [][]string {
	ids := make([][]string, len(results))
	for i, r := range results {
		switch r := r.(type) {
		case apikeys.BatchCreated:
			ids[i] = []string{r.ID}
		case batch.Affected:
			ids[i] = r.IDs
		}
	}
	return ids
}

func (b *bundle) rows(t *rapid.T) map[string]row {
	stored, err := b.pool.Query(b.Context(), `SELECT id::text, name, description, user_id, token_limit, expires_at, is_active, tags
		FROM api_keys WHERE deleted_at IS NULL`)
	require.NoError(t, err)
	all, err := pgx.CollectRows(stored, pgx.RowToMap)
	require.NoError(t, err)
	rows := make(map[string]row, len(all))
	for _, r := range all {
		if at, ok := r["expires_at"].(time.Time); ok {
			r["expires_at"] = at.UTC()
		}
		tags := []string{}
		for _, tag := range r["tags"].([]any) {
			tags = append(tags, tag.(string))
		}
		r["tags"] = tags
		rows[r["id"].(string)] = r
	}
	return rows
}

func TestBatchModel(t *testing.T) {
	b := setup(t, func(c *repo.Config) { c.RedisURL, c.RequireRedis = "", false })
	rapid.Check(t, b.batches)
}

// FuzzBatchModel lets the fuzzer choose where TestBatchModel throws dice.
func FuzzBatchModel(f *testing.F) {
	cfg := testclient.Config(f)
	cfg.RedisURL, cfg.RequireRedis = "", false
	b := bundle{Client: testclient.Open(f, cfg), cfg: cfg, pool: testdb.Pool(f, cfg.DatabaseURL)}
	for seed := range uint64(8) { // what a plain run of the tests runs
		bytes := make([]byte, 64<<10)
		_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(bytes)
		f.Add(bytes)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		b := b
		b.T = t
		rapid.MakeFuzz(b.batches)(t, input)
	})
}
