package main

import (
	"errors"
	"fmt"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

const cleanupHelp = `Deletes usage records from before 00:00 UTC, --days days ago. Figures of that time
still come from the rollups, unless --rollups makes them go as well; the totals of
keys and accounts stay in any case.

Whole months go at once, the rest in small batches, while gateways go on
recording. A clean-up that was interrupted goes on when it is run again.`

// newCleanupCmd is `relaystore cleanup`.
func newCleanupCmd() *cobra.Command {
	var opts usage.CleanupOptions
	var asJSON bool
	c := &cobra.Command{
		Use:     "cleanup",
		Short:   "Delete old usage records",
		Long:    cleanupHelp,
		Example: "  relaystore cleanup --days 90\n  relaystore cleanup --days 365 --rollups --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runCleanup(c, opts, asJSON)
		},
	}
	c.Flags().IntVar(&opts.RetentionDays, "days", usage.DefaultRetentionDays, "how many days before today stay")
	c.Flags().BoolVar(&opts.Rollups, "rollups", false, "delete the figures of that time, too")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func runCleanup(c *cobra.Command, opts usage.CleanupOptions, asJSON bool) error {
	var done usage.Cleanup
	err := withClient(c.Context(), func(client *repo.Client) (err error) {
		bar := newBar(c.ErrOrStderr(), -1, "cleaning up")
		progressbar.OptionSetItsString("records")(bar)
		opts.Progress = func(deleted int64) { _ = bar.Set64(deleted) }
		done, err = client.Usage.Cleanup(c.Context(), opts).Get()
		_ = bar.Exit()
		return err
	})
	var failed *result.Error
	if errors.As(err, &failed) && failed.Details["deletedRecords"] != nil {
		return fmt.Errorf("%v records are deleted; run the same command to go on: %w", failed.Details["deletedRecords"], err)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), done)
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "Deleted %d records; %d remain.\n", done.DeletedRecords, done.RemainingRecords)
	return err
}
