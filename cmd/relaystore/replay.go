package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/seed14a526e0/relaystore/internal/replay"
	"github.com/seed14a526e0/relaystore/repo"
)

const replayHelp = `Feeds a real request trace through the library as a gateway would: it validates
the row's key, then records the row's use. FILE is CSV or gzipped CSV with the
columns TIMESTAMP (UTC), ContextTokens and GeneratedTokens.

Row n uses key n mod --keys and model n mod 4 of claude-sonnet-4-20250514,
claude-opus-4-20250514, claude-3-5-haiku-20241022 and gpt-4o. Every row is
checked before the first one is recorded. A replay that was interrupted or
killed, or is run again with the same --keys, counts no row twice.

The figures are what the library says of the keys afterwards.`

// newReplayCmd is `relaystore replay`.
func newReplayCmd() *cobra.Command {
	opts := replay.Options{}
	var asJSON bool
	c := &cobra.Command{
		Use:     "replay FILE",
		Short:   "Feed a real request trace through the library",
		Long:    replayHelp,
		Example: "  relaystore replay docs/sample-trace.csv\n  relaystore replay --keys 100 --callers 64 --json trace.csv.gz",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return runReplay(c, args[0], opts, asJSON)
		},
	}
	c.Flags().IntVar(&opts.Keys, "keys", 16, "how many API keys share the rows")
	c.Flags().IntVar(&opts.Callers, "callers", 32, "how many requests are in flight")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func runReplay(c *cobra.Command, path string, opts replay.Options, asJSON bool) error {
	ctx := c.Context()
	trace, err := replay.Read(ctx, path)
	if err != nil {
		return err
	}
	var rep replay.Report
	var done atomic.Int64
	begin := time.Now()
	err = withClient(ctx, func(client *repo.Client) (err error) {
		bar := newBar(c.ErrOrStderr(), trace.Rows, "replaying "+filepath.Base(path))
		opts.Progress = func() {
			done.Add(1)
			_ = bar.Add(1)
		}
		rep, err = replay.Run(ctx, client, trace, opts)
		_ = bar.Exit()
		return err
	})
	if errors.Is(err, context.Canceled) {
		return interrupted(" after %d of %d rows; run the same command to go on, no row counts twice", done.Load(), trace.Rows)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), rep)
	}
	printReport(c.OutOrStdout(), rep, trace, time.Since(begin))
	return nil
}

// newBar shows on a terminal only; elsewhere it is silent.
func newBar(w io.Writer, total int, what string) *progressbar.ProgressBar {
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		w = io.Discard
	}
	return progressbar.NewOptions(total,
		progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("rows"),
		progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionFullWidth())
}

func printReport(w io.Writer, rep replay.Report, trace replay.Trace, took time.Duration) {
	fmt.Fprintf(w, "Replayed %d rows in %s: %.0f validations/s, %.0f records/s.\n",
		trace.Rows, took.Round(time.Millisecond), rep.ValidationsPerSecond, rep.RecordsPerSecond)
	if rep.Duplicates > 0 {
		fmt.Fprintf(w, "%d rows had been recorded before and were not counted again.\n", rep.Duplicates)
	}
	t := newTable(w, table.Row{"model", "requests", "tokens", "cost (US$)"}, 2, 3, 4)
	names := make([]string, 0, len(rep.Models))
	for name := range rep.Models {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		m := rep.Models[name]
		t.AppendRow(table.Row{name, m.Requests, m.TotalTokens, m.Cost})
	}
	t.AppendFooter(table.Row{"all", rep.Requests, rep.TotalTokens, rep.Cost})
	t.Render()
	fmt.Fprintf(w, "Tokens: %d in, %d out.\n", rep.InputTokens, rep.OutputTokens)
}

// newTable is the look of every table; the columns named by number hold figures.
func newTable(w io.Writer, header table.Row, figures ...int) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header, t.Style().Format.Footer = text.FormatDefault, text.FormatDefault
	t.AppendHeader(header)
	var configs []table.ColumnConfig
	for _, n := range figures {
		configs = append(configs, table.ColumnConfig{Number: n, Align: text.AlignRight, AlignFooter: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(configs)
	return t
}
