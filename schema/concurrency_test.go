package schema_test

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seed14a526e0/relaystore/schema"
)

// Goroutines and processes migrate the same database at once: each step runs once.
func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var running errgroup.Group
	for range 8 {
		running.Go(func() error { return schema.Migrate(t.Context(), b.url) })
	}
	for range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), migrateURL+"="+b.url)
		running.Go(func() error {
			out, err := cmd.CombinedOutput()
			if err != nil {
				return &outputError{string(out), err}
			}
			return nil
		})
	}
	require.NoError(t, running.Wait())
	require.NoError(t, schema.Check(t.Context(), b.pool))
	rows, err := b.pool.Query(t.Context(), "SELECT version_id FROM goose_db_version WHERE version_id > 0 ORDER BY id")
	require.NoError(t, err)
	var applied []int64
	for rows.Next() {
		var v int64
		require.NoError(t, rows.Scan(&v))
		applied = append(applied, v)
	}
	require.NoError(t, rows.Err())
	require.Equal(t, schema.Versions(), applied)
}

type outputError struct {
	output string
	error
}

func (e *outputError) Error() string { return e.error.Error() + ": " + e.output }

// A gateway's transaction holds a table that a migration needs: the migrator
// gives up after the lock timeout and leaves nothing half done.
func TestLockTimeout(t *testing.T) {
	t.Parallel()
	b, clean := setup(t), setup(t)
	require.EqualValues(t, 1, b.upByOne(b.goose(schema.FS())))
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	_, err = tx.Exec(t.Context(), "LOCK TABLE schema_compatibility")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = b.migrator.Up(ctx)
	requireState(t, err, "55P03")
	require.NoError(t, tx.Rollback(t.Context()))

	reached, err := b.migrator.Version(t.Context()) // the steps before the blocked one
	require.NoError(t, err)
	for steps := clean.goose(schema.FS()); clean.upByOne(steps) < reached; {
	}
	require.Equal(t, clean.structure(), b.structure())
	require.Equal(t, clean.rows(), b.rows())
	_, err = b.migrator.Up(t.Context())
	require.NoError(t, err)
	require.NoError(t, schema.Check(t.Context(), b.pool))
}
