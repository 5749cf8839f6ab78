package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// maxAccountFile bounds the file of accounts add: twice what an account may hold.
const maxAccountFile = 1 << 20

const accountsHelp = `Shows and changes the upstream accounts. No secret is ever shown, and none is an
argument: add reads the account from a file or from standard input.`

const addHelp = `Adds the account that FILE describes as a JSON object; - is standard input. platform
is one of %s.

  {"platform": "claude", "name": "main",
   "oauthData": {"accessToken": "…", "refreshToken": "…", "scopes": ["user:inference"], "expiresAt": "2026-01-01T00:00:00Z"},
   "proxyConfig": {"type": "socks5", "host": "127.0.0.1", "port": 1080, "username": "…", "password": "…"}}
  {"platform": "claude-console", "name": "spare", "apiKey": "…", "priority": 60, "details": {"apiUrl": "https://…"}}

Secrets are sealed with the keyset of RELAYSTORE_KEYSET_FILE or RELAYSTORE_KEYSET.`

// newAccountsCmd is `relaystore accounts`.
func newAccountsCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "accounts", Short: "Show and change upstream accounts", Long: accountsHelp,
		Example: "  relaystore accounts list --platform claude\n  relaystore accounts set-status ID inactive",
	}
	asJSON := c.PersistentFlags().Bool("json", false, "print one JSON object")
	c.AddCommand(newAccountsListCmd(asJSON), newAccountsShowCmd(asJSON), newAccountsAddCmd(asJSON), newAccountsSetStatusCmd(asJSON), newAccountsRefreshCmd(asJSON),
		newAccountsPauseCmd(asJSON), newAccountsResumeCmd(asJSON))
	return c
}

func newAccountsListCmd(asJSON *bool) *cobra.Command {
	var f accounts.ListFilters
	c := &cobra.Command{
		Use: "list", Short: "List accounts, the newest first", Args: cobra.NoArgs, Example: "  relaystore accounts list --status error --json",
		RunE: func(c *cobra.Command, _ []string) error {
			var p accounts.Page
			err := withClient(c.Context(), func(client *repo.Client) (err error) {
				p, err = client.Accounts.ListAccounts(c.Context(), f).Get()
				return err
			})
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), p)
			}
			printAccounts(c.OutOrStdout(), p)
			return nil
		},
	}
	c.Flags().StringVar(&f.Platform, "platform", "", "only those of one platform")
	c.Flags().StringVar(&f.Status, "status", "", "only those of one status: "+strings.Join(accounts.Statuses, ", "))
	c.Flags().IntVar(&f.Limit, "limit", 50, "how many at most, up to 1,000")
	c.Flags().IntVar(&f.Offset, "offset", 0, "how many to leave out first")
	return c
}

func newAccountsShowCmd(asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show an account, without its secrets", Args: cobra.ExactArgs(1), Example: "  relaystore accounts show 0190b8a0-0000-7000-8000-000000000001",
		RunE: func(c *cobra.Command, args []string) error {
			return withClient(c.Context(), func(client *repo.Client) error {
				a, err := client.Accounts.GetAccount(c.Context(), args[0]).Get()
				if err != nil {
					return err
				}
				return printAccount(c.OutOrStdout(), a, *asJSON)
			})
		},
	}
}

func newAccountsAddCmd(asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use: "add FILE", Short: "Add an account from a file or standard input", Args: cobra.ExactArgs(1), Example: "  relaystore accounts add account.json\n  secret-store get account | relaystore accounts add -",
		Long: fmt.Sprintf(addHelp, strings.Join(accounts.Platforms, ", ")),
		RunE: func(c *cobra.Command, args []string) error {
			data, err := readAccount(c.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			return withClient(c.Context(), func(client *repo.Client) error {
				created, err := client.Accounts.CreateAccount(c.Context(), data).Get()
				if err != nil {
					return err
				}
				if *asJSON {
					return printJSON(c.OutOrStdout(), created)
				}
				fmt.Fprintf(c.OutOrStdout(), "Added %s as %s.\n", printable(created.Name), created.ID)
				return nil
			})
		},
	}
}

func newAccountsSetStatusCmd(asJSON *bool) *cobra.Command {
	var m accounts.StatusMetadata
	var resetAt string
	var tokens int64
	c := &cobra.Command{
		Use: "set-status ID STATUS", Short: "Set an account's status: " + strings.Join(accounts.Statuses, ", "), Args: cobra.ExactArgs(2),
		Example: "  relaystore accounts set-status ID inactive --message 'moved to another team'\n  relaystore accounts set-status ID rate_limited --reset-at 2026-01-01T12:00:00Z",
		RunE: func(c *cobra.Command, args []string) (err error) {
			if m.RateLimitResetAt, err = parseMoment("reset-at", resetAt); err != nil {
				return err
			}
			if c.Flags().Changed("tokens-remaining") {
				m.TokensRemaining = &tokens
			}
			return withClient(c.Context(), func(client *repo.Client) error {
				if err := client.Accounts.UpdateAccountStatus(c.Context(), args[0], args[1], m).Err(); err != nil {
					return err
				}
				a, err := client.Accounts.GetAccount(c.Context(), args[0]).Get()
				if err != nil {
					return err
				}
				return printAccount(c.OutOrStdout(), a, *asJSON)
			})
		},
	}
	c.Flags().StringVar(&resetAt, "reset-at", "", "when the provider's limit ends")
	c.Flags().StringVar(&m.ErrorMessage, "message", "", "why")
	c.Flags().Int64Var(&tokens, "tokens-remaining", 0, "tokens that the provider still gives in its window")
	return c
}

// parseMoment reads a flag's time; none is the zero time.
func parseMoment(flag, text string) (at time.Time, err error) {
	if text == "" {
		return at, nil
	}
	if at, err = time.Parse(time.RFC3339, text); err != nil {
		return at, result.Invalid(flag, "must be a time such as 2026-01-01T12:00:00Z")
	}
	return at, nil
}

// readAccount reads the file, whose text is never quoted: it holds secrets.
func readAccount(stdin io.Reader, path string) (data accounts.AccountData, err error) {
	text, err := readBounded(stdin, path, maxAccountFile)
	switch {
	case err != nil:
		return data, err
	case !json.Valid(text):
		return data, result.Invalid("FILE", "not valid JSON")
	}
	return data, json.Unmarshal(text, &data)
}

// readBounded reads a file, or standard input where the path is -.
func readBounded(stdin io.Reader, path string, limit int) ([]byte, error) {
	in := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // it is only read
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, int64(limit)+1))
	if err == nil && len(text) > limit {
		err = result.Invalid("FILE", "larger than %d bytes", limit)
	}
	return text, err
}
