package main

import (
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/internal/bench"
)

const benchStatsHelp = `Loads a year of records through RecordUsageBatch, evenly over 365 days (1,000 keys
drawn by Zipf's law, each with one or two accounts and one to three of eight
models), and measures GetUsageStats and GetCostAnalysis in UTC and in a zone half
an hour off:

  key-30d-day     one key, 30 days by day
  key-1y-month    one key, a year by month
  all-1y-month    all keys, a year by month
  cost-90d-model  all keys, what 90 days cost by model

The keys are drawn like the records'. scanMs is the same answer summed from the
records, rowsRead what the answer reads, both for the most used key.

With --cleanup it also measures CleanupOldStats of all months but the last six,
beside a DELETE of the same rows and while eight callers record.`

// newBenchStatsCmd is `relaystore bench stats`.
func newBenchStatsCmd() *cobra.Command {
	var opts bench.StatsOptions
	var asJSON bool
	c := &cobra.Command{
		Use:     "stats",
		Short:   "Measure how fast figures are given",
		Long:    benchStatsHelp,
		Example: "  relaystore bench stats --records 100000\n  relaystore bench stats --records 10000000 --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runBenchStats(c, opts, asJSON)
		},
	}
	c.Flags().IntVar(&opts.Records, "records", 1_000_000, "how many records are loaded")
	c.Flags().BoolVar(&opts.Cleanup, "cleanup", false, "measure cleaning up as well")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func runBenchStats(c *cobra.Command, opts bench.StatsOptions, asJSON bool) error {
	var rep bench.StatsReport
	err := withBenchPlace(c.Context(), func(p bench.Place) (err error) {
		progress, end := newSteps(c.ErrOrStderr(), "loading and measuring", "records")
		defer end()
		opts.Progress = progress
		rep, err = bench.Stats(c.Context(), p, opts)
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), rep)
	}
	printStatsReport(c.OutOrStdout(), rep)
	return nil
}

func printStatsReport(w io.Writer, rep bench.StatsReport) {
	fmt.Fprintf(w, "Loaded %d records, %.0f a second.\n", rep.Records, rep.LoadPerSecond)
	t := newTable(w, table.Row{"case", "zone", "median (ms)", "p99 (ms)", "scan (ms)", "rows read"}, 3, 4, 5, 6)
	for _, c := range rep.Cases {
		t.AppendRow(table.Row{c.Name, c.Zone, c.P50Ms, c.P99Ms, c.ScanMs, c.RowsRead})
	}
	t.Render()
	if c := rep.Cleanup; c != nil {
		fmt.Fprintf(w, "Cleaned up %d records in %.0f ms (a DELETE: %.0f ms); %d remain.\n", c.DeletedRecords, c.TookMs, c.DeleteMs, c.RemainingRecords)
		fmt.Fprintf(w, "99 %% of the calls that recorded meanwhile took at most %g ms, before %g ms.\n", c.RecordP99Ms, c.RecordNormalP99Ms)
	}
}
