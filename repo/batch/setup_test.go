package batch_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/dbtype"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

const thingsTable = `CREATE TABLE things (id uuid PRIMARY KEY, name text NOT NULL DEFAULT '', small smallint, big bigint CONSTRAINT things_big CHECK (big < 100),
	price numeric(24,12), at timestamptz, token bytea UNIQUE, enabled boolean, tags text[], doc jsonb)`

const all = batch.InCreate | batch.InUpdate | batch.InWhere

// thing has a column of each kind. Its rows really go.
type thing struct {
	ID      uuid.UUID       `json:"id"`
	Name    string          `json:"name"`
	Small   int16           `json:"small"`
	Big     int64           `json:"big"`
	Price   result.Money    `json:"price"`
	At      *time.Time      `json:"at"`
	Token   []byte          `json:"token"`
	Enabled bool            `json:"enabled"`
	Tags    []string        `json:"tags"`
	Doc     json.RawMessage `json:"doc"`
}

// row gives what was given.
func row(data batch.Data) (batch.Row, error) {
	var t thing
	if err := batch.Fill(&t, data); err != nil {
		return nil, err
	}
	names := []string{}
	for name := range data {
		names = append(names, name)
	}
	r := batch.RowOf(t, names...)
	if _, ok := r["price"]; ok {
		r["price"] = dbtype.Decimal{Decimal: t.Price.Decimal()}
	}
	if _, ok := r["doc"]; ok {
		r["doc"] = dbtype.JSON(t.Doc)
	}
	return r, nil
}

// bundle is a database with things, and what the domain was told.
type bundle struct {
	t          *testing.T
	pool       *pgxpool.Pool
	primary    *strategy.Postgres
	statements *atomic.Int64
	forgotten  *[][]byte
}

// TraceQueryStart counts the statements on things.
func (b bundle) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if len(q.Args) > 0 {
		b.statements.Add(1)
	}
	return ctx
}

// TraceQueryEnd does nothing.
func (bundle) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func setup(t *testing.T) bundle {
	t.Helper()
	t.Parallel()
	b := bundle{t: t, statements: new(atomic.Int64), forgotten: new([][]byte)}
	url := testdb.EmptyURL(t)
	b.pool = testdb.Pool(t, url)
	_, err := b.pool.Exec(t.Context(), thingsTable)
	require.NoError(t, err)
	cfg, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	cfg.ConnConfig.Tracer = b
	traced, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(traced.Close)
	b.primary = &strategy.Postgres{Pool: traced, OpTimeout: time.Minute}
	return b
}

func (b bundle) domains() []batch.Domain {
	return []batch.Domain{{
		Table: "things", Key: "id", CacheKeys: []string{"token"},
		Columns: []batch.Column{
			{Name: "id", Kind: batch.UUID, Uses: batch.InCreate | batch.InWhere | batch.Unique}, {Name: "name", Kind: batch.Text, Uses: all},
			{Name: "small", Kind: batch.SmallInt, Uses: all}, {Name: "big", Kind: batch.BigInt, Uses: all}, {Name: "price", Kind: batch.Numeric, Uses: all},
			{Name: "at", Kind: batch.Time, Uses: all}, {Name: "token", Kind: batch.Bytes, Uses: all | batch.Unique}, {Name: "enabled", Kind: batch.Bool, Uses: all},
			{Name: "tags", Kind: batch.Texts, Uses: all}, {Name: "doc", Kind: batch.JSON, Uses: all},
		},
		Create: func(data batch.Data) (batch.Row, any, error) {
			r, err := row(data)
			return r, "made", err
		},
		Update: row,
		Forget: func(_ context.Context, _ *strategy.Postgres, keys [][]byte) {
			*b.forgotten = append(*b.forgotten, keys...)
		},
	}}
}

// run does operations in a transaction, and tells how many statements it took.
func (b bundle) run(ops ...batch.Operation) (results []any, statements int, err error) {
	b.t.Helper()
	prepared, err := batch.Prepare(b.domains(), ops)
	if err != nil {
		return nil, 0, err
	}
	tx, err := b.primary.Begin(b.t.Context(), strategy.TxOptions{Timeout: time.Minute})
	require.NoError(b.t, err)
	defer tx.End("the test is over")
	before := b.statements.Load()
	if results, err = prepared.Run(b.t.Context(), tx.Primary()); err == nil {
		err = tx.Commit(b.t.Context())
	}
	return results, int(b.statements.Load() - before), err
}

func (b bundle) count(where string) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.pool.QueryRow(b.t.Context(), "SELECT count(*) FROM things WHERE "+where).Scan(&n))
	return n
}

// id gives the n-th of some ids, in order.
func id(n int) string { return uuid.UUID{0: 1, 14: byte(n >> 8), 15: byte(n)}.String() }

func create(n int, data map[string]any) batch.Operation {
	if data == nil {
		data = map[string]any{}
	}
	data["id"] = id(n)
	return batch.Operation{Type: batch.Create, Table: "things", Data: data}
}

func update(data, where map[string]any) batch.Operation {
	return batch.Operation{Type: batch.Update, Table: "things", Data: data, Where: where}
}

func drop(where map[string]any) batch.Operation {
	return batch.Operation{Type: batch.Delete, Table: "things", Where: where}
}

func requireRefused(t testing.TB, err error, code result.Code, index int, field string) {
	t.Helper()
	require.ErrorIs(t, err, code)
	require.Equal(t, index, result.From(err).Details["index"], err.Error())
	require.Equal(t, field, result.From(err).Field(), err.Error())
}
