package main

import (
	"fmt"
	"io"
	"net/url"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/seed14a526e0/relaystore/repo/monitoring"
)

func printAlerts(w io.Writer, list []monitoring.Alert) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No alerts.")
		return
	}
	t := newTable(w, table.Row{"id", "alert", "for", "state", "since (UTC)", "webhook", "waiting", "failed"}, 7, 8)
	for _, a := range list {
		t.AppendRow(table.Row{
			a.ID, fmt.Sprintf("%s %s %g", a.Metric, a.Operator, a.Threshold), a.Duration, a.State, moment(a.Since), hostOf(a.Webhook), a.Waiting, a.Failed,
		})
	}
	t.Render()
}

// hostOf is what of a webhook's URL is no secret.
func hostOf(webhook string) string {
	u, err := url.Parse(webhook)
	if err != nil || webhook == "" {
		return ""
	}
	return printable(u.Host)
}
