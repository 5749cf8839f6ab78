package monitoring

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/strategy"
)

// statementsLimit bounds the look at pg_stat_statements, which reads a file of all
// texts.
const statementsLimit = time.Second

// The extension is in no migration, so sqlc cannot know it. It keeps the comment that
// a text begins with.
const (
	findStatements = `-- name: StatementsFind :one
SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'`
	readStatements = `.pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND substring(query FROM '^-- name: (\w+) ') = ANY ($1)
GROUP BY name`
	selectStatements = `-- name: StatementsRead :many
SELECT substring(query FROM '^-- name: (\w+) ') AS name, sum(calls)::bigint, sum(total_exec_time)::float8, sum(rows)::bigint,
    sum(shared_blks_read)::bigint
FROM `
)

// addServer adds what pg_stat_statements knows. Where it is not installed, not loaded
// or not this user's to read, nothing is added: it is never required.
func (r *Repo) addServer(ctx context.Context, stats *QueryStats) {
	ctx, cancel := context.WithTimeout(ctx, statementsLimit)
	defer cancel()
	known, err := r.statements(ctx, stats.names())
	if err != nil {
		return
	}
	for i := range stats.SlowQueries {
		stats.SlowQueries[i].Server = known[stats.SlowQueries[i].Query]
	}
	for i := range stats.FrequentQueries {
		stats.FrequentQueries[i].Server = known[stats.FrequentQueries[i].Query]
	}
}

func (r *Repo) statements(ctx context.Context, names []string) (map[string]*ServerStats, error) {
	known := make(map[string]*ServerStats, len(names))
	unmetered := strategy.Postgres{Pool: r.Primary.Pool, OpTimeout: statementsLimit} // a refusal is no error
	err := unmetered.Read(ctx, func(ctx context.Context, c db.DBTX) error {
		var schema string
		if err := c.QueryRow(ctx, findStatements).Scan(&schema); err != nil {
			return err
		}
		rows, err := c.Query(ctx, selectStatements+schema+readStatements, names)
		if err != nil {
			return err
		}
		var name string
		var s ServerStats
		var total float64
		_, err = pgx.ForEachRow(rows, []any{&name, &s.CallCount, &total, &s.Rows, &s.BlocksRead}, func() error {
			one := s
			one.AvgDuration = time.Duration(total / float64(max(1, s.CallCount)) * float64(time.Millisecond))
			known[name] = &one
			return nil
		})
		return err
	})
	return known, err
}
