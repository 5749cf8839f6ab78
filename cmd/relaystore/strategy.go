package main

import (
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/strategy"
)

const strategyHelp = `Shows and changes how the four data types (apikey, account, usage, session) are
stored. Every process follows a switch within a second; docs/storage.md tells what each
mode does.`

// newStrategyCmd is `relaystore strategy`.
func newStrategyCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "strategy", Short: "Show and switch how data types are stored", Long: strategyHelp,
		Example: "  relaystore strategy show\n  relaystore strategy switch session --cache=false --read database_first",
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
				if *asJSON {
					return printJSON(c.OutOrStdout(), states)
				}
				printStates(c.OutOrStdout(), states)
				return nil
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

func newStrategySwitchCmd(asJSON *bool) *cobra.Command {
	var to strategy.Config
	var read, write string
	c := &cobra.Command{
		Use: "switch TYPE", Short: "Store a data type in another way; what no flag names stays", Args: cobra.ExactArgs(1),
		Example: "  relaystore strategy switch apikey --ttl 30m\n  relaystore strategy switch usage --write write_behind",
		RunE: func(c *cobra.Command, args []string) error {
			return withClient(c.Context(), func(client *repo.Client) error {
				t := strategy.DataType(args[0])
				s, err := client.Storage.GetStorageConfig(t)
				if err != nil {
					return err
				}
				next := s.Config
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
				switched := client.Storage.SwitchStorageStrategy(c.Context(), t, next)
				if err := switched.Err(); err != nil || !*asJSON {
					return err
				}
				return printJSON(c.OutOrStdout(), switched)
			})
		},
	}
	c.Flags().BoolVar(&to.EnableCache, "cache", true, "keep records in the caches; =false reads the primary each time")
	c.Flags().DurationVar(&to.CacheTTL, "ttl", 0, "how long Redis keeps a record, in whole seconds")
	c.Flags().StringVar(&read, "read", "", "cache_first, database_first or cache_only")
	c.Flags().StringVar(&write, "write", "", "write_through, write_behind or write_around")
	return c
}
