package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/schema"
)

const migrateHelp = `Changes the schema of the database that DATABASE_URL names, or
RELAYSTORE_DIRECT_URL where DATABASE_URL leads through a transaction pooler.

Several processes may migrate at once: one works, the others wait. A statement
that waits more than 5 s for a table in use gives up, and its migration changes
nothing.`

// newMigrateCmd is `relaystore migrate`.
func newMigrateCmd() *cobra.Command {
	c := &cobra.Command{
		Use:     "migrate",
		Short:   "Bring the database's schema up to date, or back",
		Long:    migrateHelp,
		Example: "  relaystore migrate up\n  relaystore migrate status --json",
	}
	var asJSON bool
	c.PersistentFlags().BoolVar(&asJSON, "json", false, "print one JSON object")
	sub := func(use, short string, run func(context.Context, *schema.Migrator) (any, func(io.Writer), error)) {
		c.AddCommand(&cobra.Command{
			Use: use, Short: short, Args: cobra.NoArgs, Example: "  relaystore migrate " + use,
			RunE: func(c *cobra.Command, _ []string) error {
				return migrate(c, asJSON, run)
			},
		})
	}
	sub("up", "Apply the migrations that are missing", migrateUp)
	sub("down", "Take back the newest migration, and the data of its tables with it", migrateDown)
	sub("status", "List the migrations and when they were applied", migrateStatus)
	sub("version", "Print the database's schema version", migrateVersion)
	return c
}

func migrate(c *cobra.Command, asJSON bool, run func(context.Context, *schema.Migrator) (any, func(io.Writer), error)) error {
	cfg, err := repo.ConfigFromEnv()
	if err != nil {
		return err
	}
	if cfg.MigrateURL() == "" {
		return result.Invalid("DATABASE_URL", "required")
	}
	m, err := schema.Open(cfg.MigrateURL())
	if err != nil {
		return err
	}
	defer m.Close()
	figures, print, err := run(c.Context(), m)
	if err != nil {
		return result.From(err)
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), figures)
	}
	print(c.OutOrStdout())
	return nil
}

type versionFigures struct {
	Version int64   `json:"version"`
	Applied []int64 `json:"applied,omitempty"`
	Removed []int64 `json:"removed,omitempty"`
}

func migrateUp(ctx context.Context, m *schema.Migrator) (any, func(io.Writer), error) {
	applied, err := m.Up(ctx)
	if err != nil {
		return nil, nil, err
	}
	version, err := m.Version(ctx)
	return versionFigures{Version: version, Applied: applied}, func(w io.Writer) {
		if len(applied) == 0 {
			fmt.Fprintf(w, "The schema is up to date at version %d.\n", version)
			return
		}
		fmt.Fprintf(w, "Applied %d migrations; the schema is at version %d.\n", len(applied), version)
	}, err
}

func migrateDown(ctx context.Context, m *schema.Migrator) (any, func(io.Writer), error) {
	removed, err := m.Down(ctx)
	if err != nil {
		return nil, nil, err
	}
	version, err := m.Version(ctx)
	f := versionFigures{Version: version}
	if removed != 0 {
		f.Removed = []int64{removed}
	}
	return f, func(w io.Writer) {
		if removed == 0 {
			fmt.Fprintln(w, "No migration is applied.")
			return
		}
		fmt.Fprintf(w, "Took back migration %d; the schema is at version %d.\n", removed, version)
	}, err
}

func migrateStatus(ctx context.Context, m *schema.Migrator) (any, func(io.Writer), error) {
	list, err := m.Status(ctx)
	return map[string]any{"migrations": list}, func(w io.Writer) {
		t := newTable(w, table.Row{"version", "migration", "applied at (UTC)"}, 1)
		for _, s := range list {
			at := "pending"
			if !s.AppliedAt.IsZero() {
				at = s.AppliedAt.UTC().Format(time.DateTime)
			}
			t.AppendRow(table.Row{s.Version, s.Name, at})
		}
		t.Render()
	}, err
}

func migrateVersion(ctx context.Context, m *schema.Migrator) (any, func(io.Writer), error) {
	version, err := m.Version(ctx)
	return versionFigures{Version: version}, func(w io.Writer) { fmt.Fprintln(w, version) }, err
}
