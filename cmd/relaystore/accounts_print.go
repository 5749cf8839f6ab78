package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/seed14a526e0/relaystore/repo/accounts"
)

func printAccounts(w io.Writer, p accounts.Page) {
	t := newTable(w, table.Row{"id", "name", "platform", "status", "priority", "tokens left", "token expires (UTC)", "requests", "cost (US$)"}, 5, 6, 8, 9)
	for _, a := range p.Accounts {
		t.AppendRow(table.Row{
			a.ID, printable(a.Name), a.Platform, statusText(a), a.Priority, tokensLeft(a), moment(a.TokenExpiresAt), a.UsageStats.TotalRequests, a.UsageStats.TotalCost,
		})
	}
	t.Render()
	fmt.Fprintf(w, "%d of %d accounts.\n", len(p.Accounts), p.Total)
}

func printAccount(w io.Writer, a accounts.Account, asJSON bool) error {
	if asJSON {
		return printJSON(w, a)
	}
	t := newTable(w, table.Row{"account", a.ID})
	for _, row := range []table.Row{
		{"name", printable(a.Name)}, {"description", printable(a.Description)}, {"platform", a.Platform}, {"type", a.AccountType},
		{"priority", a.Priority}, {"schedulable", a.Schedulable},
		{"status", a.Status}, {"message", printable(a.ErrorMessage)},
		{"tokens left", tokensLeft(a)}, {"limit ends (UTC)", moment(a.RateLimitStatus.ResetAt)},
		{"token expires (UTC)", moment(a.TokenExpiresAt)}, {"last used (UTC)", moment(a.LastUsedAt)},
		{"created (UTC)", moment(a.CreatedAt)}, {"updated (UTC)", moment(a.UpdatedAt)},
		{"proxy", proxyText(a.ProxyConfig)},
		{"requests", a.UsageStats.TotalRequests}, {"tokens", a.UsageStats.TotalTokens}, {"cost (US$)", a.UsageStats.TotalCost},
	} {
		if row[1] != "" {
			t.AppendRow(row)
		}
	}
	t.Render()
	return nil
}

func statusText(a accounts.Account) string {
	if a.Schedulable {
		return a.Status
	}
	return a.Status + ", paused"
}

func tokensLeft(a accounts.Account) string {
	if a.RateLimitStatus.Remaining < 0 {
		return "unknown"
	}
	return strconv.FormatInt(a.RateLimitStatus.Remaining, 10)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateTime)
}

func proxyText(p *accounts.ProxyConfig) string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf("%s://%s:%d", p.Type, p.Host, p.Port)
}
