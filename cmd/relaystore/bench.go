package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/internal/bench"
	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/schema"
)

const benchHelp = `Measures the library on this machine, with its default configuration.

It starts a private PostgreSQL and Redis that go away with it. Where DATABASE_URL
or REDIS_URL is set, that server is used instead: a benchmark works there in a
database and under keys of its own, and removes them.

Other work on the machine shows in the figures: run it on an idle one.`

// newBenchCmd is `relaystore bench`.
func newBenchCmd() *cobra.Command {
	c := &cobra.Command{
		Use:     "bench",
		Short:   "Measure the library on this machine",
		Long:    benchHelp,
		Example: "  relaystore bench validate\n  relaystore bench revoke --rounds 100 --json",
	}
	c.AddCommand(newBenchValidateCmd(), newBenchRevokeCmd(), newBenchRecordCmd(), newBenchStatsCmd(), newBenchFillCmd(), newBenchLoopCmd())
	return c
}

// newBenchFillCmd is how `relaystore bench validate` runs itself.
func newBenchFillCmd() *cobra.Command {
	return &cobra.Command{
		Use:    bench.FillCommand + " N",
		Short:  "Fill a cache, for relaystore bench validate",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[0])
			if err != nil {
				return err
			}
			filling, err := bench.Fill(c.Context(), bench.PlaceFromEnv(), n)
			if err != nil {
				return err
			}
			return printJSON(c.OutOrStdout(), filling)
		},
	}
}

// newBenchLoopCmd is how `relaystore bench revoke` runs itself. Its parent ends
// it, also after Ctrl-C.
func newBenchLoopCmd() *cobra.Command {
	return &cobra.Command{
		Use:    bench.LoopCommand,
		Short:  "Validate a key, for relaystore bench revoke",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := context.WithoutCancel(c.Context())
			return bench.Loop(ctx, bench.PlaceFromEnv(), c.InOrStdin(), c.OutOrStdout())
		},
	}
}

func withBenchPlace(ctx context.Context, f func(bench.Place) error) error {
	return withOwnPlace(ctx, "bench", func(p bench.Place, _ *devstack.Stack) error { return f(p) })
}

// withOwnPlace runs f on a migrated database and a key prefix that go away, and on
// private servers where the environment names none.
func withOwnPlace(ctx context.Context, what string, f func(bench.Place, *devstack.Stack) error) (err error) {
	databaseURL, redisURL := os.Getenv("DATABASE_URL"), os.Getenv("REDIS_URL")
	stack, err := devstack.Start(ctx, devstack.Options{SkipPostgres: databaseURL != "", SkipRedis: redisURL != ""})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stack.Close()) }()
	own, err := newPlace(ctx, what, databaseURL+stack.DatabaseURL, redisURL+stack.RedisURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.remove(ctx)) }()
	if err := schema.Migrate(ctx, own.databaseURL); err != nil {
		return result.From(err)
	}
	return f(bench.Place{DatabaseURL: own.databaseURL, RedisURL: own.redisURL, Prefix: own.prefix}, stack)
}

// newSteps is newBar for work whose length shows when it begins.
func newSteps(w io.Writer, what, unit string) (progress func(done, total int), end func()) {
	bar := newBar(w, 1, what)
	progressbar.OptionSetItsString(unit)(bar)
	progress = func(done, total int) {
		bar.ChangeMax(total)
		_ = bar.Set(done)
	}
	return progress, func() { _ = bar.Exit() }
}
