package main

import (
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/strategy"
)

const strategyHelp = `Shows and changes how the four data types (apikey, account, usage, session) are
stored. Every process follows a switch within a second; docs/storage.md tells what each
mode does.

Another primary is a move: the writers of that data type wait in all processes while its
records are copied and compared, reads go on. A move that fails, or whose command is
killed at any step, leaves the old primary in charge, or the new one; run it again.
"show" tells where one stands.`

// newStrategyCmd is `relaystore strategy`.
func newStrategyCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "strategy", Short: "Show and switch how data types are stored", Long: strategyHelp,
		Example: "  relaystore strategy show\n  relaystore strategy switch session --cache=false --read database_first\n  relaystore strategy switch apikey --primary redis",
	}
	asJSON := c.PersistentFlags().Bool("json", false, "print one JSON object")
	c.AddCommand(newStrategyShowCmd(asJSON), newStrategySwitchCmd(asJSON))
	return c
}

func newStrategyShowCmd(asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show how each data type is stored", Args: cobra.NoArgs, Example: "  relaystore strategy show --json",
		RunE: func(c *cobra.Command, _ []string) error {
			return withClient(c.Context(), func(client *repo.Client) error {
				states := make(map[strategy.DataType]strategy.State)
				for _, t := range strategy.DataTypes {
					s, err := client.Storage.GetStorageConfig(t)
					if err != nil {
						return err
					}
					states[t] = s
				}
				moves, err := client.Storage.Moves(c.Context())
				switch {
				case err != nil:
					return err
				case *asJSON:
					return printJSON(c.OutOrStdout(), statesJSON(states, moves))
				}
				printStates(c.OutOrStdout(), states)
				return printMoves(c.OutOrStdout(), moves)
			})
		},
	}
}

func printStates(w io.Writer, states map[strategy.DataType]strategy.State) {
	t := newTable(w, table.Row{"data", "primary", "cache", "TTL", "reads", "writes", "epoch"}, 7)
	for _, d := range strategy.DataTypes {
		s := states[d]
		cached := "off"
		if s.EnableCache {
			cached = "on"
		}
		t.AppendRow(table.Row{d, s.PrimaryStorage, cached, s.CacheTTL, s.ReadStrategy, s.WriteStrategy, s.Epoch})
	}
	t.Render()
}

// statesJSON adds to each data type's state its move, if one is under way.
func statesJSON(states map[strategy.DataType]strategy.State, moves []strategy.Progress) map[string]any {
	all := make(map[string]any)
	for t, s := range states {
		all[string(t)] = s
	}
	if len(moves) > 0 {
		all["moves"] = moves
	}
	return all
}

func printMoves(w io.Writer, moves []strategy.Progress) error {
	for _, m := range moves {
		_, err := fmt.Fprintf(w, "%s is being moved away from %s since %s: %s, %d of %d records copied.\n",
			m.DataType, m.From, m.Began.Format(time.RFC3339), m.Step, m.Done, m.Total)
		if err != nil {
			return err
		}
	}
	return nil
}

func newStrategySwitchCmd(asJSON *bool) *cobra.Command {
	var to strategy.Config
	var primary, read, write string
	c := &cobra.Command{
		Use: "switch TYPE", Short: "Store a data type in another way; what no flag names stays", Args: cobra.ExactArgs(1),
		Example: "  relaystore strategy switch apikey --ttl 30m\n  relaystore strategy switch usage --write write_behind\n" +
			"  relaystore strategy switch session --primary redis",
		RunE: func(c *cobra.Command, args []string) error {
			return withClient(c.Context(), func(client *repo.Client) error {
				t := strategy.DataType(args[0])
				s, err := client.Storage.GetStorageConfig(t)
				if err != nil {
					return err
				}
				next := s.Config
				if p := strategy.Primary(primary); primary != "" && p != next.PrimaryStorage {
					next = strategy.DefaultOn(p, t)
				}
				for flag, set := range map[string]func(){
					"cache": func() { next.EnableCache = to.EnableCache }, "ttl": func() { next.CacheTTL = to.CacheTTL },
					"read":  func() { next.ReadStrategy = strategy.ReadStrategy(read) },
					"write": func() { next.WriteStrategy = strategy.WriteStrategy(write) },
				} {
					if c.Flags().Changed(flag) {
						set()
					}
				}
				if !next.EnableCache {
					next.CacheTTL = 0
				}
				return runSwitch(c, client, t, next, s.Epoch, *asJSON)
			})
		},
	}
	c.Flags().StringVar(&primary, "primary", "", "postgres or redis; the other flags' defaults are that primary's then")
	c.Flags().BoolVar(&to.EnableCache, "cache", true, "keep records in the caches; =false reads the primary each time")
	c.Flags().DurationVar(&to.CacheTTL, "ttl", 0, "how long Redis keeps a record, in whole seconds")
	c.Flags().StringVar(&read, "read", "", "cache_first, database_first or cache_only")
	c.Flags().StringVar(&write, "write", "", "write_through, write_behind or write_around")
	return c
}

// runSwitch shows the copy of a move in a bar, and tells whether the epoch changed.
func runSwitch(c *cobra.Command, client *repo.Client, t strategy.DataType, next strategy.Config, before int64, asJSON bool) error {
	var bar *progressbar.ProgressBar
	switched := client.Storage.SwitchPrimary(c.Context(), t, next, func(p strategy.Progress) {
		if bar == nil {
			bar = newBar(c.ErrOrStderr(), -1, "moving")
			progressbar.OptionSetItsString("records")(bar)
		}
		bar.Describe(p.Step)
		if p.Total > 0 {
			bar.ChangeMax64(p.Total)
		}
		_ = bar.Set64(p.Done)
	})
	if bar != nil {
		_ = bar.Exit()
	}
	switch err := switched.Err(); {
	case err != nil:
		return err
	case asJSON:
		return printJSON(c.OutOrStdout(), switched)
	}
	after, err := client.Storage.GetStorageConfig(t)
	if err != nil {
		return err
	}
	said := "%s is stored so already.\n"
	if after.Epoch != before {
		said = "%s is stored in another way from now on.\n"
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), said, t)
	return err
}
