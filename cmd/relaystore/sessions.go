package main

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

const sessionsHelp = `Shows and ends the sessions of a gateway's users, on the database that
DATABASE_URL names and, so that every process hears of it at once, the Redis
that REDIS_URL names.

A session is named by its id. Its token is stored nowhere and shown by nothing.`

const sessionsPage = 50

// newSessionsCmd is `relaystore sessions`.
func newSessionsCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "sessions",
		Short: "List, revoke and clean up users' sessions",
		Long:  sessionsHelp,
		Example: "  relaystore sessions list --user alice\n  relaystore sessions revoke 0199b2f0-5a3c-7cc1-8b54-0d5c3a4e9f11\n" +
			"  relaystore sessions revoke --user alice\n  relaystore sessions cleanup --json",
	}
	c.AddCommand(newSessionsListCmd(), newSessionsRevokeCmd(), newSessionsCleanupCmd())
	return c
}

func newSessionsListCmd() *cobra.Command {
	var f sessions.Filters
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List stored sessions, newest first, ended ones included",
		Example: "  relaystore sessions list --limit 1000\n  relaystore sessions list --user alice --json\n" +
			"  relaystore sessions list --before 0199b2f0-5a3c-7cc1-8b54-0d5c3a4e9f11",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var page sessions.Page
			err := withClient(c.Context(), func(client *repo.Client) (err error) {
				page, err = client.Sessions.ListSessions(c.Context(), f).Get()
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), page)
			}
			printSessions(c.OutOrStdout(), page.Sessions, cmp.Or(f.Limit, sessionsPage))
			return nil
		},
	}
	c.Flags().StringVar(&f.UserID, "user", "", "only this user's sessions")
	c.Flags().IntVar(&f.Limit, "limit", sessionsPage, "how many sessions, 1 to 1,000")
	c.Flags().StringVar(&f.Before, "before", "", "only sessions older than the one of this id: the next page")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func printSessions(w io.Writer, list []sessions.Session, limit int) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No sessions.")
		return
	}
	t := newTable(w, table.Row{"id", "user", "type", "created (UTC)", "expires (UTC)", "valid", "address"})
	for _, s := range list {
		valid := "yes"
		if !s.IsValid {
			valid = "no"
		}
		t.AppendRow(table.Row{
			s.ID, printable(s.UserID), s.UserType, s.CreatedAt.Format(time.DateTime), s.ExpiresAt.Format(time.DateTime), valid, s.IPAddress,
		})
	}
	t.Render()
	if len(list) == limit {
		fmt.Fprintf(w, "There may be more: --before %s\n", list[len(list)-1].ID)
	}
}
