package monitoring

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
)

// What a minute costs: storing it, with 100 names of queries that were all called.
func BenchmarkStore(b *testing.B) {
	ctx := context.Background()
	p, err := newProcess(ctx, testdb.URL(b), started)
	require.NoError(b, err)
	defer p.close(ctx)
	for i := range 100 {
		require.NoError(b, p.query(ctx, fmt.Sprintf("N%d", i), 0, 1))
	}
	for b.Loop() {
		p.samples.roll(p.now(), true)
		require.NoError(b, p.store(ctx))
	}
}

// A week of ten processes.
func BenchmarkRead(b *testing.B) {
	ctx := context.Background()
	url := testdb.URL(b)
	pool := testdb.Pool(b, url)
	_, err := pool.Exec(ctx, `INSERT INTO performance_samples
		SELECT $1::timestamptz - m * interval '1 minute', gen_random_uuid(), 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, '{DB_QUERY_TIMEOUT}', '{1}'
		FROM generate_series(1, 10080) m, generate_series(1, 10)`, started)
	require.NoError(b, err)
	_, err = pool.Exec(ctx, `INSERT INTO performance_queries
		SELECT $1::timestamptz - h * interval '1 hour', gen_random_uuid(), 'N' || n, 1, 1, $1
		FROM generate_series(1, 168) h, generate_series(1, 10), generate_series(1, 100) n`, started)
	require.NoError(b, err)
	_, err = pool.Exec(ctx, "VACUUM ANALYZE performance_samples, performance_queries")
	require.NoError(b, err)
	p, err := newProcess(ctx, url, started)
	require.NoError(b, err)
	defer p.close(ctx)
	for _, r := range []Range{Range5m, Range7d} {
		b.Run(r, func(b *testing.B) {
			for b.Loop() {
				_, err := p.GetPerformanceMetrics(ctx, r)
				require.NoError(b, err)
			}
		})
	}
	b.Run("queries", func(b *testing.B) {
		for b.Loop() {
			_, err := p.GetQueryStats(ctx, 10)
			require.NoError(b, err)
		}
	})
}
