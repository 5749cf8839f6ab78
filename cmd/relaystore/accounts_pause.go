package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
)

// newAccountsPauseCmd is `relaystore accounts pause`.
func newAccountsPauseCmd(asJSON *bool) *cobra.Command {
	c := &cobra.Command{
		Use: "pause [ID...]", Short: "Take accounts out of what schedulers may take; their status stays",
		Example: "  relaystore accounts pause 0190b8a0-0000-7000-8000-000000000001\n  relaystore accounts pause --all",
	}
	c.Flags().Bool("all", false, "all accounts")
	c.RunE = func(c *cobra.Command, ids []string) error {
		return setSchedulable(c, ids, "all", false, *asJSON, func(accounts.Account) bool { return true })
	}
	return c
}

// newAccountsResumeCmd is `relaystore accounts resume`.
func newAccountsResumeCmd(asJSON *bool) *cobra.Command {
	c := &cobra.Command{
		Use: "resume [ID...]", Short: "Let schedulers take paused accounts again",
		Example: "  relaystore accounts resume 0190b8a0-0000-7000-8000-000000000001\n  relaystore accounts resume --imported",
	}
	c.Flags().Bool("imported", false, "all accounts that an import has paused, and nobody has paused where they came from or here since")
	c.RunE = func(c *cobra.Command, ids []string) error {
		return setSchedulable(c, ids, "imported", true, *asJSON, func(a accounts.Account) bool { return a.PausedByImport() })
	}
	return c
}

// setSchedulable does so for some accounts, or with the flag for all that are chosen.
func setSchedulable(c *cobra.Command, ids []string, flag string, schedulable, asJSON bool, choose func(accounts.Account) bool) error {
	all, err := c.Flags().GetBool(flag)
	if err != nil {
		return err
	}
	if all == (len(ids) > 0) {
		return &codeError{exitUsage, fmt.Errorf("ID: name accounts, or give --%s", flag)}
	}
	return withClient(c.Context(), func(client *repo.Client) (err error) {
		if all {
			if ids, err = schedulables(c, client, schedulable, choose); err != nil {
				return err
			}
		}
		for _, id := range ids {
			if err := client.Accounts.SetSchedulable(c.Context(), id, schedulable).Err(); err != nil {
				return err
			}
		}
		what := "Paused"
		if schedulable {
			what = "Resumed"
		}
		if asJSON {
			return printJSON(c.OutOrStdout(), map[string]int{strings.ToLower(what): len(ids)})
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s %d accounts.\n", what, len(ids))
		return err
	})
}

// schedulables gives the chosen accounts that are not so yet, and warns of tokens that
// nobody could refresh.
func schedulables(c *cobra.Command, client *repo.Client, schedulable bool, choose func(accounts.Account) bool) ([]string, error) {
	expire := 0
	ids, err := chosen(c.Context(), client, func(a accounts.Account) bool {
		is := a.Schedulable != schedulable && choose(a)
		if is && !a.TokenExpiresAt.IsZero() {
			expire++
		}
		return is
	})
	if schedulable && expire > 0 && client.Accounts.TokenRefresher == nil {
		fmt.Fprintf(c.ErrOrStderr(), "relaystore: RELAYSTORE_OAUTH is not set: gateways without it cannot refresh the tokens of %d of these accounts, which expire\n", expire)
	}
	return ids, err
}

func chosen(ctx context.Context, client *repo.Client, choose func(accounts.Account) bool) (ids []string, err error) {
	for f := (accounts.ListFilters{Limit: 1000}); ; f.Offset += f.Limit {
		p, err := client.Accounts.ListAccounts(ctx, f).Get()
		if err != nil {
			return nil, err
		}
		for _, a := range p.Accounts {
			if choose(a) {
				ids = append(ids, a.ID)
			}
		}
		if len(p.Accounts) < f.Limit {
			return ids, nil
		}
	}
}
