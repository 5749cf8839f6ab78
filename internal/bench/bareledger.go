package bench

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/dbtype"
)

// The bare ledger is usage_records with its primary key and a partition, and
// nothing else: no registry, no index by batch, no rollups.
const bareLedger = `CREATE TABLE bench_ledger (LIKE usage_records INCLUDING DEFAULTS INCLUDING CONSTRAINTS, PRIMARY KEY (occurred_at, id))
	PARTITION BY RANGE (occurred_at);
CREATE TABLE bench_ledger_all PARTITION OF bench_ledger FOR VALUES FROM ('2000-01-01Z') TO ('2100-01-01Z')`

const (
	insertConns = 64
	unnestConns = 4
	unnestRows  = 1_000
	// statementRows is the batch of the library's own statement, statementConns
	// how many run at once, as in the library.
	statementRows  = 256
	statementConns = 2

	// baselineCaller is the first caller of baselines: the audit of the load must
	// not take their records for its own.
	baselineCaller = 1_000_000
)

const bareColumns = `bench_ledger (occurred_at, id, api_key_id, account_id, batch_id, requests, input_tokens, output_tokens,
	cache_creation_tokens, cache_read_tokens, total_tokens, cost, account_type, model)`

const bareInsert = "INSERT INTO " + bareColumns + " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"

const bareUnnest = "INSERT INTO " + bareColumns + ` SELECT u.* FROM ROWS FROM (unnest($1::timestamptz[]), unnest($2::uuid[]),
	unnest($3::uuid[]), unnest($4::uuid[]), unnest($5::bigint[]), unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::bigint[]),
	unnest($9::bigint[]), unnest($10::bigint[]), unnest($11::bigint[]), unnest($12::numeric[]), unnest($13::text[]), unnest($14::text[])) AS u`

// bare measures what PostgreSQL does by itself.
type bare struct {
	pool    *pgxpool.Pool
	traffic *traffic
	queries *db.Queries
	span    time.Duration
}

// openBare has a pool that is large enough for every baseline.
func openBare(ctx context.Context, p Place, t *traffic, span time.Duration) (*bare, error) {
	pc, err := pgxpool.ParseConfig(p.DatabaseURL)
	if err != nil {
		return nil, errBadURL
	}
	pc.MaxConns = insertConns
	pc.AfterConnect = func(_ context.Context, c *pgx.Conn) error { // as the library does
		dbtype.Register(c.TypeMap())
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, err
	}
	b := &bare{pool: pool, traffic: t, queries: db.New(), span: span}
	if _, err = pool.Exec(ctx, bareLedger); err == nil {
		err = b.queries.UsageEnsureMonth(ctx, pool, time.Now())
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	return b, nil
}

// insertPerSecond is rows a second by single INSERTs.
func (b *bare) insertPerSecond(ctx context.Context) (float64, error) {
	return b.perSecond(ctx, insertConns, 1, b.insertOne)
}

func (b *bare) insertOne(ctx context.Context, c *pgxpool.Conn, s *stream) error {
	r := s.next()
	_, err := c.Exec(ctx, bareInsert, time.Now(), uuid.Must(uuid.NewV7()), uuid.MustParse(r.APIKeyID), uuid.MustParse(r.AccountID), int64(1),
		r.RequestCount, r.InputTokens, r.OutputTokens, r.CacheCreationTokens, r.CacheReadTokens, r.TotalTokens,
		dbtype.Decimal{Decimal: r.Cost.Decimal()}, r.AccountType, r.Model)
	return err
}

// insertP50Ms is the median of single INSERTs one after the other.
func (b *bare) insertP50Ms(ctx context.Context) (float64, error) {
	conn, err := b.pool.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	s := b.traffic.stream(baselineCaller)
	var took []float64
	for end := time.Now().Add(b.span); time.Now().Before(end); {
		begin := time.Now()
		if err := b.insertOne(ctx, conn, s); err != nil {
			return 0, err
		}
		took = append(took, milliseconds(time.Since(begin)))
	}
	return median(took), nil
}

// unnestPerSecond is rows a second by arrays of 1,000.
func (b *bare) unnestPerSecond(ctx context.Context) (float64, error) {
	return b.perSecond(ctx, unnestConns, unnestRows, func(ctx context.Context, c *pgxpool.Conn, s *stream) error {
		batch := newBatch(s, unnestRows)
		_, err := c.Exec(ctx, bareUnnest, batch.OccurredAt, batch.Ids, batch.APIKeyIds, batch.AccountIds, make([]int64, unnestRows),
			batch.Requests, batch.InputTokens, batch.OutputTokens, batch.CacheCreationTokens, batch.CacheReadTokens, batch.TotalTokens,
			batch.Costs, batch.AccountTypes, batch.Models)
		return err
	})
}

// statementPerSecond is rows a second by the library's statement in batches of 256.
func (b *bare) statementPerSecond(ctx context.Context) (float64, error) {
	return b.perSecond(ctx, statementConns, statementRows, func(ctx context.Context, c *pgxpool.Conn, s *stream) error {
		_, err := b.queries.UsageBatchAppend(ctx, c, newBatch(s, statementRows))
		return err
	})
}

// perSecond runs f on several connections for the span.
func (b *bare) perSecond(ctx context.Context, conns, rows int, f func(context.Context, *pgxpool.Conn, *stream) error) (float64, error) {
	var ready sync.WaitGroup
	ready.Add(conns)
	start, done := make(chan struct{}), atomic.Int64{}
	group, ctx := errgroup.WithContext(ctx)
	for n := range conns {
		group.Go(func() error {
			conn, err := b.pool.Acquire(ctx)
			if err != nil {
				ready.Done()
				return err
			}
			defer conn.Release()
			s := b.traffic.stream(baselineCaller + n)
			err = f(ctx, conn, s) // prepares the statement
			ready.Done()
			if err != nil {
				return err
			}
			<-start
			for end := time.Now().Add(b.span); time.Now().Before(end); done.Add(int64(rows)) {
				if err := f(ctx, conn, s); err != nil {
					return err
				}
			}
			return nil
		})
	}
	ready.Wait()
	begin := time.Now()
	close(start)
	err := group.Wait()
	return float64(done.Load()) / time.Since(begin).Seconds(), err
}

// newBatch is the next n records in the statement's terms.
func newBatch(s *stream, n int) db.UsageBatchAppendParams {
	p := db.UsageBatchAppendParams{FirstAt: time.Now(), LockTimeout: "0"}
	p.LastAt = p.FirstAt
	for range n {
		r := s.next()
		p.RequestHashes = append(p.RequestHashes, uuid.New())
		p.Ids = append(p.Ids, uuid.Must(uuid.NewV7()))
		p.OccurredAt = append(p.OccurredAt, p.FirstAt)
		p.APIKeyIds = append(p.APIKeyIds, uuid.MustParse(r.APIKeyID))
		p.AccountIds = append(p.AccountIds, uuid.MustParse(r.AccountID))
		p.AccountTypes = append(p.AccountTypes, r.AccountType)
		p.Models = append(p.Models, r.Model)
		p.Requests = append(p.Requests, r.RequestCount)
		p.InputTokens = append(p.InputTokens, r.InputTokens)
		p.OutputTokens = append(p.OutputTokens, r.OutputTokens)
		p.CacheCreationTokens = append(p.CacheCreationTokens, r.CacheCreationTokens)
		p.CacheReadTokens = append(p.CacheReadTokens, r.CacheReadTokens)
		p.TotalTokens = append(p.TotalTokens, r.TotalTokens)
		p.Costs = append(p.Costs, dbtype.Decimal{Decimal: r.Cost.Decimal()})
	}
	compare := func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }
	slices.SortFunc(p.RequestHashes, compare)
	p.DistinctKeys = slices.Clone(p.APIKeyIds)
	slices.SortFunc(p.DistinctKeys, compare)
	p.DistinctKeys = slices.Compact(p.DistinctKeys)
	return p
}
