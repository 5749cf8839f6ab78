package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/internal/bench"
	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/internal/torture"
	"github.com/seed14a526e0/relaystore/repo"
)

const (
	tortureDuration = 10 * time.Minute
	tortureKills    = 200
)

const tortureHelp = `Shows that usage counts exactly once under violence. Gateways in processes of their
own record, each through a proxy, while

  - they are killed (SIGKILL), or closed in order, and started again;
  - PostgreSQL is killed (immediate shutdown), one of its backends is killed
    (SIGKILL) or a connection is ended by it;
  - Redis is killed, or stopped for a while (SIGSTOP);
  - connections break just before and just after a commit's acknowledgement, or
    anywhere, stall or are cut off;
  - other gateways record again what is under way, acknowledged or failed.

While this goes on, and at the end, an audit compares the ledger with what the
gateways were told, and every rollup and its pending records with the sums of the
records. The last line is

  torture: kills=K acknowledged=A stored=S lost=L duplicated=D mismatch=M

where lost were acknowledged and are not stored, duplicated are stored once more,
and mismatch counts sums, records and answers that are not right. The exit code
is 0 where these three are 0, else 1. Ctrl-C ends the violence; the audit follows.

Under --usage-writes write_behind the same must hold once the journal is empty.

It starts a private PostgreSQL and Redis that go away with it. Where DATABASE_URL
or REDIS_URL is set, that server is used instead, in a database and under keys of
its own; it is not killed then. PostgreSQL is reached without TLS.`

// newTortureCmd is `relaystore torture`.
func newTortureCmd() *cobra.Command {
	var opts torture.Options
	var asJSON bool
	c := &cobra.Command{
		Use:     "torture",
		Short:   "Show that usage counts once whatever dies",
		Long:    tortureHelp,
		Example: "  relaystore torture\n  relaystore torture --duration 60s --seed 7",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runTorture(c, opts, asJSON)
		},
	}
	c.Flags().DurationVar(&opts.Duration, "duration", 0, fmt.Sprintf("end after this time (default %s or --kills)", tortureDuration))
	c.Flags().IntVar(&opts.Kills, "kills", 0, fmt.Sprintf("end after so many kills (default %d or --duration)", tortureKills))
	c.Flags().IntVar(&opts.Gateways, "gateways", 3, "how many processes record")
	c.Flags().IntVar(&opts.Callers, "callers", 16, "how many callers each of them has")
	c.Flags().StringVar(&opts.UsageWrites, "usage-writes", repo.WriteThrough, "how they record: "+repo.WriteThrough+" or "+repo.WriteBehind)
	c.Flags().Uint64Var(&opts.Seed, "seed", 0, "draws the faults (default another one each time)")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object before the last line")
	c.Flags().BoolVar(&opts.Quick, "quick", false, "hurry, for tests")
	_ = c.Flags().MarkHidden("quick")
	c.AddCommand(newTortureGatewayCmd())
	return c
}

// newTortureGatewayCmd is how `relaystore torture` runs itself. Its parent ends it,
// also after Ctrl-C.
func newTortureGatewayCmd() *cobra.Command {
	return &cobra.Command{
		Use:    torture.GatewayCommand,
		Short:  "Record usage, for relaystore torture",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return torture.Gateway(bench.PlaceFromEnv(), c.InOrStdin(), c.OutOrStdout())
		},
	}
}

func runTorture(c *cobra.Command, opts torture.Options, asJSON bool) error {
	if err := opts.Check(); err != nil {
		return err
	}
	if !opts.Quick && opts.Duration == 0 && opts.Kills == 0 {
		opts.Duration, opts.Kills = tortureDuration, tortureKills
	}
	if !c.Flags().Changed("seed") {
		opts.Seed = rand.Uint64() //nolint:gosec // to differ, not to be secret
	}
	stderr := c.ErrOrStderr()
	fmt.Fprintf(stderr, "torture: --seed %d\n", opts.Seed)
	var rep *torture.Report
	err := withOwnPlace(c.Context(), "torture", func(p bench.Place, stack *devstack.Stack) (err error) {
		sayWhoIsSpared(stderr, stack)
		progress, end := newViolenceBar(stderr, opts)
		defer end()
		opts.Progress = progress
		rep, err = torture.Run(c.Context(), p, torture.Servers{Postgres: stack.Postgres, Redis: stack.Redis}, opts)
		return err
	})
	if rep == nil {
		return err
	}
	if err := printTorture(c.OutOrStdout(), rep, asJSON); err != nil {
		return err
	}
	switch interrupted := c.Context().Err() != nil && errors.Is(err, context.Canceled); {
	case rep.Clean():
		return err
	case err == nil, interrupted:
		return &codeError{code: exitFailure}
	}
	return err
}

func sayWhoIsSpared(w io.Writer, stack *devstack.Stack) {
	if stack.Postgres == nil {
		fmt.Fprintln(w, "torture: DATABASE_URL is set: PostgreSQL and its backends are not killed")
	}
	if stack.Redis == nil {
		fmt.Fprintln(w, "torture: REDIS_URL is set: Redis is neither killed nor stopped")
	}
}

// newViolenceBar shows the kills or, where only time bounds them, the seconds.
func newViolenceBar(w io.Writer, opts torture.Options) (progress func(kills int, after time.Duration), end func()) {
	if opts.Kills > 0 {
		steps, end := newSteps(w, "torturing", "kills")
		return func(kills int, _ time.Duration) { steps(min(kills, opts.Kills), opts.Kills) }, end
	}
	steps, end := newSteps(w, "torturing", "s")
	return func(_ int, after time.Duration) {
		done := int(after.Seconds())
		steps(done, max(int(opts.Duration.Seconds()), done, 1))
	}, end
}

// printTorture ends with the line that says it all.
func printTorture(w io.Writer, rep *torture.Report, asJSON bool) error {
	if asJSON {
		if err := printJSON(w, rep); err != nil {
			return err
		}
	} else {
		printTortureReport(w, rep)
	}
	_, err := fmt.Fprintln(w, rep)
	return err
}

func printTortureReport(w io.Writer, rep *torture.Report) {
	t := newTable(w, table.Row{"fault", "times"}, 2)
	for _, name := range slices.Sorted(maps.Keys(rep.Faults)) {
		t.AppendRow(table.Row{name, rep.Faults[name]})
	}
	t.Render()
	fmt.Fprintf(w, "Seed %d; %.0f s of violence, %d gateways, usage by %s.\n", rep.Seed, rep.Seconds, rep.Gateways, rep.UsageWrites)
	fmt.Fprintf(w, "Duplicates: %d answers; the plain INSERT refused %d batches for them, ON CONFLICT left out %d records.\n",
		rep.Duplicates.Answered, rep.Duplicates.FastPath, rep.Duplicates.OnConflict)
	fmt.Fprintf(w, "The library's own retries found %d times what they had stored before.\n", rep.Duplicates.Own)
	for _, code := range slices.Sorted(maps.Keys(rep.Failures)) {
		fmt.Fprintf(w, "Calls that failed with %s: %d.\n", code, rep.Failures[code])
	}
	fmt.Fprintf(w, "The rollups were compared with the records %d times meanwhile; %d records are still pending.\n", rep.Audits, rep.Pending)
	for _, what := range slices.Sorted(maps.Keys(rep.Mismatches)) {
		fmt.Fprintf(w, "Not right: %d %s.\n", rep.Mismatches[what], what)
	}
	for _, example := range rep.Examples {
		fmt.Fprintln(w, "For example,", example)
	}
}
