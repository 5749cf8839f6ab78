package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/repo"
)

const refreshHelp = `Gives an account a new access token from its provider, through its own proxy, beside
gateways that do the same: the provider is called once. A failure within the last ten
seconds, or while the provider wants no further request, is told again.

Where and as whom tokens are refreshed stands in RELAYSTORE_OAUTH, by platform:

  {"claude": {"tokenUrl": "https://…", "clientId": "…", "json": true},
   "gemini": {"tokenUrl": "https://…", "clientId": "…", "clientSecret": "…"}}`

func newAccountsRefreshCmd(asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use: "refresh ID", Short: "Refresh an account's OAuth token", Long: refreshHelp, Args: cobra.ExactArgs(1),
		Example: "  relaystore accounts refresh 0190b8a0-0000-7000-8000-000000000001",
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := repo.ConfigFromEnv()
			if err != nil {
				return err
			}
			cfg.Logger = slog.New(slog.DiscardHandler) // the error tells it all
			return withConfig(c.Context(), cfg, func(client *repo.Client) error {
				if err := client.Accounts.RefreshOAuthToken(c.Context(), args[0]).Err(); err != nil {
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
}
