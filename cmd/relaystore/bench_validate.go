package main

import (
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/internal/bench"
)

const benchValidateHelp = `Measures ValidateAPIKey beside its baselines, in one process and one run: the
medians of three rounds. Keys are drawn by Zipf's law before the clock runs.

  hitNs          a key that the process has cached; hitParallelNs is the wall time
                 an operation when two goroutines share the work, allocs what one
                 allocates
  negativeNs     a hash that is known to be unknown
  missNs         a key that neither the process nor Redis holds
  credentialsNs  GetCredentials of a cached account that has every secret
  sessionNs      ValidateSession of a cached session
  outageP99Ns    the 99th percentile while Redis is silent and nothing cached is
                 young enough; outageDeadlineNs is how long Redis is tried
  timeNowNs      time.Now
  mapNs          a look-up in a sync.Map by the same hashes
  docacheNs      a hit of rueidis' DoCache by keys of the same length;
                 docacheParallelNs as above
  docacheMissNs  a DoCache miss
  redisGetNs     a GET
  selectNs       the statement that a miss runs, on one connection
  updateRatio    how much longer UpdateAPIKey takes with the outbox's triggers
  rssMiB100k     the memory of 100,000 cached keys, in a process of their own`

// newBenchValidateCmd is `relaystore bench validate`.
func newBenchValidateCmd() *cobra.Command {
	var opts bench.ValidateOptions
	var asJSON bool
	c := &cobra.Command{
		Use:     "validate",
		Short:   "Measure how fast keys are validated",
		Long:    benchValidateHelp,
		Example: "  relaystore bench validate\n  relaystore bench validate --keys 1000 --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runBenchValidate(c, opts, asJSON)
		},
	}
	c.Flags().IntVar(&opts.Keys, "keys", 10_000, "how many cached keys are drawn from")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	c.Flags().BoolVar(&opts.Quick, "quick", false, "measure little, for tests")
	_ = c.Flags().MarkHidden("quick")
	return c
}

func runBenchValidate(c *cobra.Command, opts bench.ValidateOptions, asJSON bool) error {
	var rep bench.ValidateReport
	err := withBenchPlace(c.Context(), func(p bench.Place) (err error) {
		progress, end := newSteps(c.ErrOrStderr(), "measuring validation", "steps")
		defer end()
		opts.Progress = progress
		rep, err = bench.Validate(c.Context(), p, opts)
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), rep)
	}
	printValidateReport(c.OutOrStdout(), rep)
	return nil
}

func printValidateReport(w io.Writer, rep bench.ValidateReport) {
	t := newTable(w, table.Row{"operation", "alone", "two goroutines"}, 2, 3)
	t.AppendRow(table.Row{"ValidateAPIKey, cached", duration(rep.HitNs), duration(rep.HitParallelNs)})
	t.AppendRow(table.Row{"ValidateAPIKey, known to be unknown", duration(rep.NegativeNs), ""})
	t.AppendRow(table.Row{"ValidateAPIKey, cached nowhere", duration(rep.MissNs), ""})
	t.AppendRow(table.Row{"GetCredentials, cached", duration(rep.CredentialsNs), ""})
	t.AppendRow(table.Row{"ValidateSession, cached", duration(rep.SessionNs), ""})
	t.AppendRow(table.Row{"ValidateAPIKey while Redis is silent, p99", duration(rep.OutageP99Ns), ""})
	t.AppendSeparator()
	t.AppendRow(table.Row{"time.Now", duration(rep.TimeNowNs), ""})
	t.AppendRow(table.Row{"sync.Map look-up", duration(rep.MapNs), ""})
	t.AppendRow(table.Row{"rueidis DoCache, hit", duration(rep.DocacheNs), duration(rep.DocacheParallelNs)})
	t.AppendRow(table.Row{"rueidis DoCache, miss", duration(rep.DocacheMissNs), ""})
	t.AppendRow(table.Row{"Redis GET", duration(rep.RedisGetNs), ""})
	t.AppendRow(table.Row{"PostgreSQL SELECT", duration(rep.SelectNs), ""})
	t.Render()
	fmt.Fprintf(w, "A cached answer allocates %g times. The outbox's triggers make UpdateAPIKey take %.2f times as long.\n",
		rep.Allocs, rep.UpdateRatio)
	fmt.Fprintf(w, "100,000 cached keys take %.0f MiB.\n", rep.RSSMiB100k)
}

// duration is readable: 104ns, 81.3µs.
func duration(ns float64) string {
	d := time.Duration(ns)
	if d >= time.Microsecond {
		d = d.Round(100 * time.Nanosecond)
	}
	return d.String()
}
