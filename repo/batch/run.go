package batch

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

const (
	// maxRun is how many operations one statement takes: more are no faster.
	maxRun = 1000
	// forgetAtOnce is how many keys caches are told of at a time, so that it is done
	// within the patience of a call to Redis.
	forgetAtOnce = 500
)

// run is one try of a batch.
type run struct {
	primary *strategy.Postgres
	results []any
	keys    map[*Domain][][]byte
	rows    int
}

// Run does the operations inside a transaction, which must be rolled back where it
// fails. The error is an *result.Error, and names the operation in details.index where
// it is to blame.
func (b *Batch) Run(ctx context.Context, primary *strategy.Postgres) ([]any, error) {
	r := run{primary: primary, results: make([]any, len(b.steps)), keys: make(map[*Domain][][]byte)}
	if err := r.all(ctx, b.steps); err != nil {
		return nil, result.From(err) // a conflict is known by its code
	}
	for d, keys := range r.keys {
		for part := range slices.Chunk(keys, forgetAtOnce) {
			d.Forget(ctx, primary, part)
		}
	}
	return r.results, nil
}

func (r *run) all(ctx context.Context, steps []step) error {
	if err := r.lockNamed(ctx, steps); err != nil {
		return err
	}
	for len(steps) > 0 {
		n := together(steps)
		if err := r.do(ctx, steps[:n]); err != nil {
			return err
		}
		steps = steps[n:]
	}
	return nil
}

// together tells how many of the first steps can be one statement and still do
// what they would do one after the other: they have one shape, and no two of them
// can be about the same row. Those that no unique value tells apart can.
func together(steps []step) int {
	seen := make(map[string]bool)
	for i, s := range steps {
		if s.statement != steps[0].statement || i == maxRun || s.returns && seen[s.single] {
			return i
		}
		seen[s.single] = true
	}
	return len(steps)
}

// do runs steps as one statement. Where that fails it halves them: what comes
// before the one to blame is done, as it would be one after the other.
func (r *run) do(ctx context.Context, steps []step) error {
	err := r.try(ctx, steps)
	switch {
	case err == nil:
		return nil
	case !blames(err):
		return err
	case len(steps) == 1:
		return result.From(steps[0].domain.named(err)).With("index", steps[0].index)
	}
	half := len(steps) / 2
	if err := r.do(ctx, steps[:half]); err != nil {
		return err
	}
	return r.do(ctx, steps[half:])
}

// blames holds for errors that come from what an operation says.
func blames(err error) bool {
	switch result.From(err).Code {
	case result.DuplicateKey, result.ConstraintViolation, result.InvalidQuery, result.Internal:
		return true
	}
	return false
}

// changed is a row that a statement has changed.
type changed struct {
	ord  int
	id   string
	keys [][]byte
}

func (r *run) try(ctx context.Context, steps []step) error {
	var rows []changed
	err := steps[0].domain.primary(r.primary).Write(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		if !steps[0].returns {
			_, err = c.Exec(ctx, steps[0].sql, arguments(steps)...)
			return err
		}
		rows, err = query(ctx, c, steps)
		return err
	})
	if err != nil {
		return err
	}
	if r.rows += len(rows); r.rows > maxRowsTotal || len(rows) > maxRows {
		return result.Invalid("where", "matches more than %d rows, or all together more than %d", maxRows, maxRowsTotal)
	}
	r.note(steps, rows)
	return nil
}

// arguments turns the steps' cells into a column each. The statement is not
// prepared: shapes are the callers', and would push the library's own statements
// out of the connection's memory.
func arguments(steps []step) []any {
	ords := make([]int32, len(steps))
	columns := make([][]*string, len(steps[0].cells))
	for i := range columns {
		columns[i] = make([]*string, len(steps))
	}
	for i, s := range steps {
		ords[i] = int32(i) //nolint:gosec // at most maxRun
		for j, c := range s.cells {
			columns[j][i] = c
		}
	}
	args := []any{pgx.QueryExecModeExec, ords}
	for _, c := range columns {
		args = append(args, c)
	}
	return args
}

func query(ctx context.Context, c db.DBTX, steps []step) ([]changed, error) {
	rows, err := c.Query(ctx, steps[0].sql, arguments(steps)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (changed, error) {
		ch := changed{keys: make([][]byte, len(steps[0].domain.CacheKeys))}
		into := []any{&ch.ord, &ch.id}
		for i := range ch.keys {
			into = append(into, &ch.keys[i])
		}
		return ch, row.Scan(into...)
	})
}

// note keeps the steps' results, and what caches must forget.
func (r *run) note(steps []step, rows []changed) {
	d := steps[0].domain
	ids := make([][]string, len(steps))
	for _, row := range rows {
		ids[row.ord] = append(ids[row.ord], row.id)
		r.keys[d] = append(r.keys[d], row.keys...)
	}
	for i, s := range steps {
		r.keys[d] = append(r.keys[d], s.keys...)
		if r.results[s.index] = s.shown; s.returns {
			slices.Sort(ids[i])
			r.results[s.index] = Affected{IDs: append([]string{}, ids[i]...)}
		}
	}
}
