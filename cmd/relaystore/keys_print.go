package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func printAPIKeys(w io.Writer, p apikeys.Page, asJSON bool) error {
	for i := range p.Keys {
		p.Keys[i] = withoutHash(p.Keys[i])
	}
	if asJSON {
		return printJSON(w, p)
	}
	t := newTable(w, table.Row{"id", "name", "state", "permissions", "tags", "expires (UTC)", "last used (UTC)", "daily limit (US$)"}, 8)
	for _, k := range p.Keys {
		t.AppendRow(table.Row{k.ID, printable(k.Name), keyState(k), k.Permissions, tagsOf(k), moment(k.ExpiresAt), moment(k.LastUsedAt), dollars(k.DailyCostLimit)})
	}
	t.Render()
	_, err := fmt.Fprintf(w, "%d of %d keys.\n", len(p.Keys), p.Total)
	return err
}

func printAPIKey(w io.Writer, k apikeys.APIKey, asJSON bool) error {
	k = withoutHash(k)
	if asJSON {
		return printJSON(w, k)
	}
	t := newTable(w, table.Row{"key", k.ID})
	for _, row := range []table.Row{
		{"name", printable(k.Name)}, {"description", printable(k.Description)}, {"state", keyState(k)},
		{"permissions", k.Permissions}, {"tags", tagsOf(k)},
		{"tokens a window", counted(k.TokenLimit)}, {"requests a window", counted(k.RateLimitRequests)}, {"window (minutes)", counted(k.RateLimitWindow)},
		{"requests at a time", counted(k.ConcurrencyLimit)},
		{"daily limit (US$)", dollars(k.DailyCostLimit)}, {"total limit (US$)", dollars(k.TotalCostLimit)}, {"weekly Opus limit (US$)", dollars(k.WeeklyOpusCostLimit)},
		{"expires (UTC)", moment(k.ExpiresAt)}, {"last used (UTC)", moment(k.LastUsedAt)},
		{"created (UTC)", moment(k.CreatedAt)}, {"updated (UTC)", moment(k.UpdatedAt)},
	} {
		if row[1] != "" {
			t.AppendRow(row)
		}
	}
	t.Render()
	return nil
}

// withoutHash leaves out what a key can be guessed against.
func withoutHash(k apikeys.APIKey) apikeys.APIKey {
	k.HashedKey, k.HashScheme = "", ""
	return k
}

func keyState(k apikeys.APIKey) string {
	switch {
	case !k.IsActive:
		return "disabled"
	case !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(time.Now()):
		return "expired"
	}
	return "active"
}

func tagsOf(k apikeys.APIKey) string { return printable(strings.Join(k.Tags, ", ")) }

// counted and dollars leave out what is no limit.
func counted(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func dollars(m result.Money) string {
	if m.IsZero() {
		return ""
	}
	return m.String()
}
