package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

func newSessionsRevokeCmd() *cobra.Command {
	var user string
	var asJSON bool
	c := &cobra.Command{
		Use:     "revoke {ID | --user USER}",
		Short:   "End a session, or all of a user's, at once",
		Example: "  relaystore sessions revoke 0199b2f0-5a3c-7cc1-8b54-0d5c3a4e9f11\n  relaystore sessions revoke --user alice",
		Args: func(c *cobra.Command, args []string) error {
			if (len(args) == 1) == c.Flags().Changed("user") || len(args) > 1 {
				return errors.New("name either one session by its id or a user by --user")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			var done sessions.Revoked
			err := withClient(c.Context(), func(client *repo.Client) (err error) {
				if len(args) == 1 {
					done.RevokedSessions = 1
					return client.Sessions.RevokeSession(c.Context(), args[0]).Err()
				}
				done, err = client.Sessions.RevokeUserSessions(c.Context(), user).Get()
				return err
			})
			return told(c, asJSON, err, "revokedSessions", done, "Sessions revoked: %d\n", done.RevokedSessions)
		},
	}
	c.Flags().StringVar(&user, "user", "", "end all sessions of this user")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func newSessionsCleanupCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "cleanup",
		Short: "Delete the sessions that have ended",
		Long: `Deletes the sessions that have ended, in small transactions, beside running
gateways. Ctrl-C ends it between two of them, and the count is told all the same.`,
		Example: "  relaystore sessions cleanup\n  relaystore sessions cleanup --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var done sessions.Cleaned
			err := withClient(c.Context(), func(client *repo.Client) (err error) {
				progress, end := newSteps(c.ErrOrStderr(), "deleting ended sessions", "sessions")
				defer end()
				done, err = client.Sessions.CleanupWithProgress(c.Context(), progress).Get()
				return err
			})
			return told(c, asJSON, err, "deletedSessions", done, "Sessions deleted: %d\n", done.DeletedSessions)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// told prints how many sessions are gone, also where the work has failed half-way,
// and gives its error.
func told(c *cobra.Command, asJSON bool, err error, detail string, done any, text string, count int) error {
	if err != nil {
		partly, _ := result.From(err).Details[detail].(int)
		if partly == 0 {
			return err
		}
		done, count = map[string]int{detail: partly}, partly
	}
	if asJSON {
		return errors.Join(err, printJSON(c.OutOrStdout(), done))
	}
	fmt.Fprintf(c.OutOrStdout(), text, count)
	return err
}
