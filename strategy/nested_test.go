package strategy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

func TestNestedIsUndoneAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.begin()
	p := tx.Primary()
	own := errors.New("own")
	require.NoError(t, b.write(p, "outer"))
	require.ErrorIs(t, p.Nested(t.Context(), func(p *strategy.Postgres) error {
		require.NoError(t, b.write(p, "undone"))
		require.NoError(t, p.Nested(t.Context(), func(p *strategy.Postgres) error { return b.write(p, "undone") }))
		return own
	}), own)
	require.NoError(t, p.Nested(t.Context(), func(p *strategy.Postgres) error {
		require.ErrorIs(t, p.Nested(t.Context(), func(p *strategy.Postgres) error {
			require.NoError(t, b.write(p, "undone"))
			return own
		}), own)
		return b.write(p, "inner")
	}))
	require.PanicsWithValue(t, "f", func() {
		_ = p.Nested(t.Context(), func(p *strategy.Postgres) error {
			require.NoError(t, b.write(p, "undone"))
			panic("f")
		})
	})
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []int{1, 1, 0}, []int{b.rows("outer"), b.rows("inner"), b.rows("undone")})
}

// A failed read inside a savepoint is undone with it.
func TestNestedFailedRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.begin()
	broken := func(ctx context.Context, c db.DBTX) error {
		_, err := c.Exec(ctx, "SELECT 1/0")
		return err
	}
	require.NoError(t, b.write(tx.Primary(), "outer"))
	require.Equal(t, result.InvalidQuery, code(tx.Primary().Nested(t.Context(), func(p *strategy.Postgres) error {
		return p.Read(t.Context(), broken)
	})))
	// Who does not look at the error does not get a part of the savepoint.
	require.Equal(t, result.TransactionClosed, code(tx.Primary().Nested(t.Context(), func(p *strategy.Postgres) error {
		require.NoError(t, b.write(p, "part"))
		_ = p.Read(t.Context(), broken)
		return nil
	})))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []int{1, 0}, []int{b.rows("outer"), b.rows("part")})
}

// A call of the outer client would be undone with the savepoint: it waits.
func TestNestedKeepsTheTurn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.begin()
	var inner *strategy.Postgres
	outer := make(chan error, 1)
	require.Error(t, tx.Primary().Nested(t.Context(), func(p *strategy.Postgres) error {
		inner = p
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		f, runs := insert("outer")
		require.Equal(t, result.QueryTimeout, code(tx.Primary().Write(ctx, f)))
		require.Zero(t, *runs)
		go func() { outer <- b.write(tx.Primary(), "outer") }()
		require.NoError(t, b.write(p, "inner"))
		return errors.New("undo")
	}))
	require.NoError(t, <-outer)
	require.Equal(t, result.TransactionClosed, code(b.write(inner, "late")))
	require.Equal(t, result.TransactionClosed, code(inner.Nested(t.Context(), func(*strategy.Postgres) error { return nil })))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []int{1, 0, 0}, []int{b.rows("outer"), b.rows("inner"), b.rows("late")})
}

// The transaction ends while a savepoint's function thinks: at once, and the
// function hears of it.
func TestNestedEndsWithTheTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, end := range map[string]func(*strategy.Tx){
		"rollback": func(tx *strategy.Tx) { require.NoError(t, tx.Rollback(t.Context())) },
		"time":     func(tx *strategy.Tx) { tx.End("its time was up") },
	} {
		tx := b.begin()
		err := tx.Primary().Nested(t.Context(), func(p *strategy.Postgres) error {
			require.NoError(t, b.write(p, name))
			end(tx)
			b.free()
			return b.write(p, name)
		})
		require.Equal(t, result.TransactionClosed, code(err), name)
		require.Equal(t, 0, b.rows(name))
	}
}
