package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/seed14a526e0/relaystore/internal/importer"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// maxListed is how many lines a person is shown of a list; --json has all.
const maxListed = 40

func printImport(w io.Writer, rep *importer.Report, took time.Duration, dry bool) error {
	t := newTable(w, table.Row{"kind", "found", "imported"}, 2, 3)
	for _, kind := range slices.Sorted(maps.Keys(rep.Found)) {
		name := string(kind)
		if name == "" {
			name = "foreign"
		}
		t.AppendRow(table.Row{name, rep.Found[kind], rep.Imported[kind]})
	}
	t.Render()
	skipped := newTable(w, table.Row{"kind", "id", "skipped, or not as it was"})
	differ := newTable(w, table.Row{"scope", "id", "period", "source", "target", "explained"})
	listed, differing := 0, 0
	err := rep.Each(func(s importer.Skipped) error {
		if listed++; listed <= maxListed {
			skipped.AppendRow(table.Row{s.Kind, printable(s.ID), printable(s.Reason)})
		}
		return nil
	}, func(c importer.Compared) error {
		if c.Differs() {
			if differing++; differing <= maxListed {
				differ.AppendRow(table.Row{c.Scope, c.ID, c.Period + " " + c.Bucket, short(c.Source), short(c.Target), c.Explained})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if listed > 0 {
		appendMore(skipped, listed)
		skipped.Render()
	}
	if differing > 0 {
		appendMore(differ, differing)
		differ.Render()
	}
	if dry {
		fmt.Fprint(w, "A dry run: nothing was written. ")
	} else {
		fmt.Fprintf(w, "Wrote %d rows. ", rep.Written)
	}
	fmt.Fprintf(w, "Compared %d figures: %d differ, %d of them without an explanation. It took %s.\n",
		rep.ComparedCount, differing, rep.Unexplained, took.Round(time.Millisecond))
	return nil
}

func appendMore(t table.Writer, n int) {
	if n > maxListed {
		t.AppendFooter(table.Row{fmt.Sprintf("and %d more", n-maxListed)})
	}
}

func short(f usage.Figures) string {
	return fmt.Sprintf("%d requests, %d tokens, $%s", f.Requests, f.TotalTokens, f.Cost)
}

// printRates shows the import beside a plain reading of the same Redis.
func printRates(ctx context.Context, w io.Writer, source importer.Source, rep *importer.Report, took time.Duration) error {
	keys := 0
	for _, n := range rep.Found {
		keys += n
	}
	plain, err := importer.PlainRead(ctx, source)
	if err != nil {
		return err
	}
	perSecond := func(d time.Duration) float64 { return float64(keys) / max(d.Seconds(), 1e-9) }
	fmt.Fprintf(w, "Imported %d keys in %s: %.0f keys/s. SCAN and HGETALL alone: %s, %.0f keys/s.\n",
		keys, took.Round(time.Millisecond), perSecond(took), plain.Round(time.Millisecond), perSecond(plain))
	return nil
}
