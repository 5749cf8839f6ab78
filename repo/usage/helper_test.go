package usage

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// bundle is a database of its own and a Repo whose compactor stands still, so
// that a test says when pending batches are compacted.
type bundle struct {
	*Repo

	url  string
	pool *pgxpool.Pool
	keys []string
}

// setup makes a database with some keys, named key 0, key 1 and so on.
func setup(t *testing.T, keys int) *bundle {
	t.Helper()
	return setupAt(t, testdb.URL(t), keys)
}

func setupAt(t *testing.T, url string, keys int) *bundle {
	t.Helper()
	b := &bundle{url: url, pool: testdb.Pool(t, url)}
	b.Repo = open(t, url)
	b.compactor.close()
	for i := range keys {
		b.keys = append(b.keys, b.addKey(t, "key "+string(rune('0'+i))))
	}
	return b
}

// open makes one more Repo on the database, as another process would, with a
// compactor that runs.
func open(t *testing.T, url string) *Repo {
	t.Helper()
	r := New(Config{
		Primary: &strategy.Postgres{Pool: testdb.Pool(t, url), Retry: strategy.DefaultRetry, OpTimeout: time.Minute},
		Logger:  slog.New(slog.DiscardHandler),
	})
	t.Cleanup(func() { require.NoError(t, r.Close(context.Background())) })
	return r
}

func (b *bundle) addKey(t *testing.T, name string) string {
	t.Helper()
	id := uuid.NewString()
	b.exec(t, `INSERT INTO api_keys (id, name, hashed_key, created_at, updated_at)
		VALUES ($1::uuid, $2, sha256($1::uuid::text::bytea), now(), now())`, id, name)
	return id
}

func (b *bundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// count gives the one number that a query asks for.
func (b *bundle) count(t *testing.T, sql string, args ...any) (n int64) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

// requireUntouched tells that no usage table has a row.
func (b *bundle) requireUntouched(t *testing.T) {
	t.Helper()
	for _, table := range []string{"usage_records", "usage_requests", "usage_pending", "usage_rollups", "usage_totals"} {
		require.Zero(t, b.count(t, "SELECT count(*) FROM "+table), table)
	}
}

// total gives the figures of all time.
func total(t *testing.T, r *Repo, q StatsQuery) Summary {
	t.Helper()
	q.StartDate, q.EndDate, q.Granularity = firstTime, time.Now().Add(48*time.Hour), Month
	s, err := r.GetUsageStats(t.Context(), q).Get()
	require.NoError(t, err)
	return s.Summary
}

// sample is a good record.
func sample(key string) Record {
	return Record{
		APIKeyID: key, AccountType: "claude", Model: "m", InputTokens: 3, OutputTokens: 4, TotalTokens: 7,
		Cost: result.MustMoney("0.001"), RequestCount: 1,
	}
}

// requireRefused tells code and field of a failure.
func requireRefused(t *testing.T, err error, code result.Code, field string) {
	t.Helper()
	require.ErrorIs(t, result.From(err), code)
	require.Equal(t, field, result.From(err).Field())
}
