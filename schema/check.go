package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
)

// State says why a database does not fit this binary.
type State string

// States of a database.
const (
	Missing State = "missing"
	Older   State = "older"
	Newer   State = "newer"
	Broken  State = "half-migrated"
)

// StateError is a database that this binary must not work with.
type StateError struct {
	State State
	// Database and Binary are the schema versions.
	Database, Binary int64
}

// Error says what is wrong and which command mends it.
func (e *StateError) Error() string {
	switch e.State {
	case Missing:
		return "the database is not migrated; run: relaystore migrate up"
	case Older:
		return fmt.Sprintf("the database is at schema version %d and this binary needs %d; run: relaystore migrate up", e.Database, e.Binary)
	case Newer:
		return fmt.Sprintf("the database is at schema version %d, which no longer serves binaries of version %d; install a newer relaystore", e.Database, e.Binary)
	}
	return "the database is half-migrated; run: relaystore migrate status, then relaystore migrate up"
}

// Querier is what Check reads through: a pgx pool, connection or transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Check gives a *StateError unless the database has every migration of this
// binary, and either none beside them or newer ones that still serve it. Other
// errors are the database's.
func Check(ctx context.Context, c Querier) error {
	known := Versions()
	own := known[len(known)-1]
	applied, err := appliedVersions(ctx, c)
	if err != nil {
		return err
	}
	if len(applied) == 0 {
		return &StateError{Missing, 0, own}
	}
	current := applied[len(applied)-1]
	state := compare(known, applied)
	if state == Newer {
		state, err = servesUs(ctx, c, own)
	}
	if err != nil || state == "" {
		return err
	}
	return &StateError{state, current, own}
}

// compare expects both in order. Newer asks for a closer look.
func compare(known, applied []int64) State {
	n := min(len(known), len(applied))
	switch {
	case !slices.Equal(known[:n], applied[:n]):
		return Broken
	case len(applied) < len(known):
		return Older
	case len(applied) > len(known):
		return Newer
	}
	return ""
}

// servesUs asks a newer database for the oldest binary that it serves.
func servesUs(ctx context.Context, c Querier, own int64) (State, error) {
	oldest, err := column(ctx, c, "SELECT oldest_binary FROM schema_compatibility")
	switch {
	case err != nil:
		return "", err
	case len(oldest) != 1:
		return Broken, nil
	case oldest[0] > own:
		return Newer, nil
	}
	return "", nil
}

// Versions gives the embedded migrations' versions in order.
func Versions() []int64 {
	names, err := migrations.ReadDir(".")
	if err != nil { // an embedded folder can always be read
		panic(err)
	}
	out := make([]int64, len(names))
	for i, n := range names {
		if out[i], err = goose.NumericComponent(n.Name()); err != nil {
			panic(err)
		}
	}
	slices.Sort(out)
	return out
}

// Applied gives the newest migration of a database, 0 for none.
func Applied(ctx context.Context, c Querier) (int64, error) {
	applied, err := appliedVersions(ctx, c)
	if err != nil || len(applied) == 0 {
		return 0, err
	}
	return applied[len(applied)-1], nil
}

const undefinedTable = "42P01"

// appliedVersions reads goose's own table.
func appliedVersions(ctx context.Context, c Querier) ([]int64, error) {
	return column(ctx, c, "SELECT version_id FROM "+goose.DefaultTablename+" WHERE is_applied AND version_id > 0 ORDER BY version_id")
}

// column reads one column; a table that does not exist has no rows.
func column(ctx context.Context, c Querier, query string) ([]int64, error) {
	rows, err := c.Query(ctx, query)
	if err == nil {
		var values []int64
		if values, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err == nil {
			return values, nil
		}
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == undefinedTable {
		return nil, nil
	}
	return nil, err
}
