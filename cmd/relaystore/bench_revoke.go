package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/internal/bench"
)

const benchRevokeHelp = `Measures how long a revoked key goes on. Real processes validate it in loops paced
at 1 kHz, while one of them revokes it by DeleteAPIKey, then by UpdateAPIKey, and
then someone outside the library by a plain SQL UPDATE. At last a session is what
is deleted, and what is changed by UpdateSession (session-update). After each round
the key or the session, or a new one, comes back.

  selfStale      answers yes in the writer's own process to what was asked after
                 its call had returned; null for sql
  p50Ms, p99Ms,  of the last yes in any other process after the acknowledgement
  maxMs          (for sql, the commit); a round without one counts as 0
  reenableP99Ms  until all processes say yes again, or to the new key
  checked,       answers that the library's own consistency meter compared with
  violating      PostgreSQL, and those that were too old`

// newBenchRevokeCmd is `relaystore bench revoke`.
func newBenchRevokeCmd() *cobra.Command {
	var opts bench.RevokeOptions
	var asJSON bool
	c := &cobra.Command{
		Use:     "revoke",
		Short:   "Measure how long a revoked key goes on",
		Long:    benchRevokeHelp,
		Example: "  relaystore bench revoke\n  relaystore bench revoke --processes 8 --rounds 100 --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runBenchRevoke(c, opts, asJSON)
		},
	}
	c.Flags().IntVar(&opts.Processes, "processes", 3, "how many processes validate the key")
	c.Flags().IntVar(&opts.Rounds, "rounds", 500, "how often each way revokes")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func runBenchRevoke(c *cobra.Command, opts bench.RevokeOptions, asJSON bool) error {
	var rep bench.RevokeReport
	err := withBenchPlace(c.Context(), func(p bench.Place) (err error) {
		progress, end := newSteps(c.ErrOrStderr(), "revoking", "rounds")
		defer end()
		opts.Progress = progress
		rep, err = bench.Revoke(c.Context(), p, opts)
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), rep)
	}
	printRevokeReport(c.OutOrStdout(), rep, opts.Processes)
	return nil
}

func printRevokeReport(w io.Writer, rep bench.RevokeReport, processes int) {
	t := newTable(w, table.Row{"revoked by", "rounds", "self-stale", "p50 (ms)", "p99 (ms)", "max (ms)", "back p99 (ms)"}, 2, 3, 4, 5, 6, 7)
	for _, way := range rep.Ways {
		stale := "–"
		if way.SelfStale != nil {
			stale = strconv.FormatInt(*way.SelfStale, 10)
		}
		t.AppendRow(table.Row{way.Name, way.Rounds, stale, way.P50Ms, way.P99Ms, way.MaxMs, way.ReenableP99Ms})
	}
	t.Render()
	fmt.Fprintf(w, "%d processes; the times are of the last yes after the acknowledgement, anywhere.\n", processes)
	fmt.Fprintf(w, "The consistency meter checked %d answers; %d were too old.\n", rep.Checked, rep.Violating)
}
