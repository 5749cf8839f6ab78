package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

const verifyHelp = `Recomputes the usage figures' rollups from the ledger's records and compares every
cell, hour by hour, while recording and compaction go on. It begins where the last
clean-up has left records.

--repair replaces what is wrong and touches nothing else: a wrong cell is compared
again while no compactor works, and replaced in the same transaction.

It may be interrupted and run again at any time. Exit code 1 tells that cells are
wrong and were not repaired.`

// newVerifyCmd is `relaystore verify`.
func newVerifyCmd() *cobra.Command {
	opts := usage.VerifyOptions{}
	var asJSON bool
	c := &cobra.Command{
		Use:     "verify",
		Short:   "Compare the usage figures' rollups with the ledger's records",
		Long:    verifyHelp,
		Example: "  relaystore verify\n  relaystore verify --repair --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runVerify(c, opts, asJSON)
		},
	}
	c.Flags().BoolVar(&opts.Repair, "repair", false, "replace the cells that are wrong")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func runVerify(c *cobra.Command, opts usage.VerifyOptions, asJSON bool) error {
	var rep usage.VerifyReport
	err := withClient(c.Context(), func(client *repo.Client) (err error) {
		progress, end := newSteps(c.ErrOrStderr(), "verifying", "steps")
		defer end()
		opts.Progress = progress
		rep, err = client.Usage.Verify(c.Context(), opts)
		return err
	})
	// What was found and repaired before a failure is told as well.
	if err == nil || rep.Wrong > 0 {
		if printErr := printVerifyReport(c.OutOrStdout(), rep, asJSON); printErr != nil {
			return errors.Join(err, printErr)
		}
	}
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("interrupted; run the same command again: %w", context.Canceled)
	case err != nil:
		return err
	case rep.Wrong > rep.Repaired:
		return fmt.Errorf("%d cells are wrong; relaystore verify --repair replaces them", rep.Wrong-rep.Repaired)
	}
	return nil
}

func printVerifyReport(w io.Writer, rep usage.VerifyReport, asJSON bool) error {
	if asJSON {
		return printJSON(w, rep)
	}
	if len(rep.Cells) > 0 {
		printWrongCells(w, rep)
	}
	span := "no records"
	if !rep.From.IsZero() {
		span = fmt.Sprintf("%s to %s", rep.From.Format(time.DateOnly), rep.To.Format(time.DateOnly))
	}
	fmt.Fprintf(w, "Compared %s in %d chunks: %d cells wrong, %d repaired.\n", span, rep.Chunks, rep.Wrong, rep.Repaired)
	if rep.Unchecked != "" {
		fmt.Fprintf(w, "Not compared: %s.\n", rep.Unchecked)
	}
	return nil
}

func printWrongCells(w io.Writer, rep usage.VerifyReport) {
	t := newTable(w, table.Row{"tier", "fault", "bucket (UTC)", "model", "API key", "account"})
	for _, c := range rep.Cells {
		bucket := ""
		if !c.Bucket.IsZero() {
			bucket = c.Bucket.Format(time.DateTime)
		}
		t.AppendRow(table.Row{c.Tier, c.Fault, bucket, c.Model, c.APIKeyID, c.AccountID})
	}
	if rep.More > 0 {
		t.AppendFooter(table.Row{fmt.Sprintf("and %d more", rep.More)})
	}
	t.Render()
}
