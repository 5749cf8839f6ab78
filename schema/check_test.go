package schema_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/schema"
)

func requireState(t *testing.T, err error, state string) {
	t.Helper()
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, state, pg.Code)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	own := newest()
	newer := fmt.Sprintf("INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, true), (%d, true);", own+1, own+2)
	serves := func(version int64) string {
		return fmt.Sprintf("UPDATE schema_compatibility SET oldest_binary = %d;", version)
	}
	forget := func(version int64) string {
		return fmt.Sprintf("DELETE FROM goose_db_version WHERE version_id = %d;", version)
	}
	for name, test := range map[string]struct {
		change string
		want   schema.State
		at     int64
	}{
		"same":                       {"", "", 0},
		"newer, serves all":          {newer + serves(1), "", 0},
		"newer, serves this":         {newer + serves(own), "", 0},
		"newer, serves not this":     {newer + serves(own+1), schema.Newer, own + 2},
		"newer, says nothing":        {newer + "DELETE FROM schema_compatibility;", schema.Broken, own + 2},
		"newer, without the table":   {newer + "DROP TABLE schema_compatibility;", schema.Broken, own + 2},
		"older":                      {forget(own), schema.Older, own - 1},
		"a gap":                      {forget(own - 1), schema.Broken, own},
		"a gap at the beginning":     {forget(1), schema.Broken, own},
		"an unknown one in between":  {forget(own) + fmt.Sprintf("INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, true)", own+7), schema.Broken, own + 7},
		"an unknown one at the end":  {"INSERT INTO goose_db_version (version_id, is_applied) VALUES (20250916080000, true);" + serves(own+1), schema.Newer, 20250916080000},
		"taken back, row kept":       {fmt.Sprintf("UPDATE goose_db_version SET is_applied = false WHERE version_id = %d", own), schema.Older, own - 1},
		"nothing but the first row":  {"DELETE FROM goose_db_version WHERE version_id > 0", schema.Missing, 0},
		"goose's table is not there": {"DROP TABLE goose_db_version", schema.Missing, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			_, err := b.migrator.Up(t.Context())
			require.NoError(t, err)
			if test.change != "" {
				b.exec(test.change)
			}
			err = schema.Check(t.Context(), b.pool)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			var state *schema.StateError
			require.ErrorAs(t, err, &state)
			require.Equal(t, schema.StateError{State: test.want, Database: test.at, Binary: own}, *state)
		})
	}
}

func TestCheckOfAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var state *schema.StateError
	require.ErrorAs(t, schema.Check(t.Context(), b.pool), &state)
	require.Equal(t, schema.Missing, state.State)
}

func TestCheckPassesOtherErrorsOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec("CREATE TABLE goose_db_version (other int)")
	requireState(t, schema.Check(t.Context(), b.pool), "42703")
	b.pool.Close()
	err := schema.Check(t.Context(), b.pool)
	require.Error(t, err)
	var state *schema.StateError
	require.NotErrorAs(t, err, &state)
}

func TestStateErrorsNameTheCommand(t *testing.T) {
	t.Parallel()
	for state, want := range map[schema.State]string{
		schema.Missing: "relaystore migrate up", schema.Older: "relaystore migrate up",
		schema.Newer: "install a newer relaystore", schema.Broken: "relaystore migrate status",
	} {
		require.Contains(t, (&schema.StateError{State: state, Database: 2, Binary: 3}).Error(), want)
	}
	for _, state := range []schema.State{schema.Older, schema.Newer} {
		require.Contains(t, (&schema.StateError{State: state, Database: 21, Binary: 34}).Error(), "21")
		require.Contains(t, (&schema.StateError{State: state, Database: 21, Binary: 34}).Error(), "34")
	}
}
