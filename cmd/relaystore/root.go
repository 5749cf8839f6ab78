package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

const rootHelp = `relaystore stores what an API relay has to remember, in PostgreSQL and Redis.

Exit codes:
  0    success
  1    failure
  2    wrong usage: unknown command, flag or argument
  3    the database is not migrated
  130  interrupted
relaystore dev exits with the code of the command that it runs.`

// run executes one command and returns the exit code. The first SIGINT or
// SIGTERM cancels the command's context, the second one kills.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	root := newRootCmd()
	began := watchBegin(root)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	c, err := root.ExecuteContextC(ctx)
	if err = byFlag(c, err); err != nil && !*began {
		err = fmt.Errorf("%w; usage: %s", err, c.UseLine())
	}
	code := exitCode(ctx, err, *began)
	var coded *codeError
	switch {
	case code == exitInterrupted && !errors.As(err, &coded):
		_, _ = fmt.Fprintln(stderr, "relaystore: interrupted")
	case err != nil && err.Error() != "":
		_, _ = fmt.Fprintln(stderr, "relaystore:", oneLine(err))
	}
	return code
}

func newRootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:           "relaystore",
		Short:         "Storage for an API relay",
		Long:          rootHelp,
		Args:          cobra.NoArgs, // a word that is no subcommand
		RunE:          showHelp,
		Version:       moduleVersion(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newAccountsCmd(), newAlertsCmd(), newBenchCmd(), newCleanupCmd(), newCostCmd(), newDemoCmd(), newDevCmd(), newHealthCmd(), newImportCmd(), newKeysCmd(), newKeysetCmd(), newMetricsCmd(), newMigrateCmd(), newQueriesCmd(), newReplayCmd(), newResealCmd(), newSessionsCmd(), newStatsCmd(), newStrategyCmd(), newTortureCmd(), newVerifyCmd(), newVersionCmd())
	root.SetHelpCommand(newHelpCmd())
	return root
}

// newHelpCmd is `relaystore help`, which refuses what is no command as all do.
func newHelpCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		Args: func(c *cobra.Command, args []string) error {
			found, rest, err := c.Root().Find(args)
			if err == nil && len(rest) > 0 {
				err = fmt.Errorf("unknown command %q for %q", rest[0], found.CommandPath())
			}
			return err
		},
		RunE: func(c *cobra.Command, args []string) error {
			found, _, err := c.Root().Find(args)
			if err != nil {
				return err
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}

// watchBegin tells whether a command's RunE began: until then, an error is
// cobra's about arguments, whose errors have no types. It also makes commands
// with subcommands refuse unknown ones.
func watchBegin(root *cobra.Command) *bool {
	began := new(bool)
	var watch func(*cobra.Command)
	watch = func(c *cobra.Command) {
		if c.HasSubCommands() && !c.Runnable() {
			c.Args, c.RunE = cobra.NoArgs, showHelp
		}
		if inner := c.RunE; inner != nil {
			c.RunE = func(c *cobra.Command, args []string) error {
				*began = true
				return inner(c, args)
			}
		}
		for _, sub := range c.Commands() {
			watch(sub)
		}
	}
	watch(root)
	return began
}

func showHelp(c *cobra.Command, _ []string) error { return c.Help() }

func oneLine(err error) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\n", " | ")), " ")
}
