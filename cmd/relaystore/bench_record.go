package main

import (
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/internal/bench"
)

const benchRecordHelp = `Measures RecordUsage beside what PostgreSQL does by itself, in one run: medians of
three rounds. 1,000 keys are drawn by Zipf's law, each with one or two accounts
and one to three of eight models; every record has a requestId. One key's figures
are read meanwhile.

  recordsPerSecond    acknowledged records; p50Ms and p99Ms are of a call
  insertPerSecond     single-row INSERTs into a bare copy of the ledger, on 64
                      connections; insertP50Ms is on one
  unnestPerSecond     1,000 rows a statement on 4 connections
  statementPerSecond  the library's own statement in batches of 256
  bytesPerRecord      on disk, with the requestId's entry and all indexes
  compactorLagMs      the oldest that a record out of the rollups was seen to be
  statsP99Ms          30 days of one key by day, while recording
  rssMiB              this process's memory at the end
  lost, duplicated    acknowledged records that are not in the ledger, or twice`

// newBenchRecordCmd is `relaystore bench record`.
func newBenchRecordCmd() *cobra.Command {
	var opts bench.RecordOptions
	var asJSON bool
	c := &cobra.Command{
		Use:     "record",
		Short:   "Measure how fast usage is recorded",
		Long:    benchRecordHelp,
		Example: "  relaystore bench record\n  relaystore bench record --callers 1 --seconds 5 --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runBenchRecord(c, opts, asJSON)
		},
	}
	c.Flags().IntVar(&opts.Callers, "callers", 256, "how many record at the same time")
	c.Flags().IntVar(&opts.Seconds, "seconds", 10, "how long they do in a round")
	c.Flags().IntVar(&opts.Connections, "connections", 0, "bound on the library's PostgreSQL connections (default the library's)")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func runBenchRecord(c *cobra.Command, opts bench.RecordOptions, asJSON bool) error {
	var rep bench.RecordReport
	err := withBenchPlace(c.Context(), func(p bench.Place) (err error) {
		progress, end := newSteps(c.ErrOrStderr(), "measuring recording", "steps")
		defer end()
		opts.Progress = progress
		rep, err = bench.Record(c.Context(), p, opts)
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), rep)
	}
	printRecordReport(c.OutOrStdout(), rep)
	return nil
}

func printRecordReport(w io.Writer, rep bench.RecordReport) {
	t := newTable(w, table.Row{"way", "records/s", "median (ms)"}, 2, 3)
	t.AppendRow(table.Row{fmt.Sprintf("RecordUsage, %d callers", rep.Callers), rep.RecordsPerSecond, rep.P50Ms})
	t.AppendSeparator()
	t.AppendRow(table.Row{"INSERT, 64 connections", rep.InsertPerSecond, ""})
	t.AppendRow(table.Row{"INSERT, 1 connection", "", rep.InsertP50Ms})
	t.AppendRow(table.Row{"1,000 rows a statement, 4 connections", rep.UnnestPerSecond, ""})
	t.AppendRow(table.Row{"the library's statement, 256 rows", rep.StatementPerSecond, ""})
	t.Render()
	fmt.Fprintf(w, "99 %% of the calls took at most %g ms. One key's 30 days, meanwhile: %g ms at the 99th percentile.\n", rep.P99Ms, rep.StatsP99Ms)
	fmt.Fprintf(w, "A record takes %g bytes on disk and came into the rollups after at most %g ms. Memory: %g MiB.\n",
		rep.BytesPerRecord, rep.CompactorLagMs, rep.RSSMiB)
	fmt.Fprintf(w, "Acknowledged and lost: %d. Stored twice: %d.\n", rep.Lost, rep.Duplicated)
}
