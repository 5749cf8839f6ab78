package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const keysHelp = `Makes, shows and changes the API keys of a gateway's clients, on the database that
DATABASE_URL names and, so that every process hears of it at once, the Redis that
REDIS_URL names.

A key is named by its id. create shows what the client sends, once; only its hash is
stored, and nothing shows either afterwards.`

// newKeysCmd is `relaystore keys`.
func newKeysCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "keys", Short: "Make, show, disable and delete API keys", Long: keysHelp,
		Example: "  relaystore keys create alice --daily-cost-limit 25\n  relaystore keys list --active=false\n  relaystore keys disable ID",
	}
	asJSON := c.PersistentFlags().Bool("json", false, "print one JSON object")
	c.AddCommand(
		newKeysCreateCmd(asJSON), newKeysListCmd(asJSON), newKeysShowCmd(asJSON),
		newKeysSwitchCmd(asJSON, "disable", "Refuse a key from now on, until it is enabled", false),
		newKeysSwitchCmd(asJSON, "enable", "Let a disabled key be good again", true),
		newKeysDeleteCmd(asJSON),
	)
	return c
}

func newKeysListCmd(asJSON *bool) *cobra.Command {
	var f apikeys.Filters
	var active bool
	c := &cobra.Command{
		Use: "list", Short: "List keys, the newest first", Args: cobra.NoArgs,
		Example: "  relaystore keys list --tag team-a --sort-by lastUsedAt\n  relaystore keys list --limit 1000 --offset 1000 --json",
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("active") {
				f.IsActive = &active
			}
			f.SortOrder = strings.ToUpper(f.SortOrder)
			return withClient(c.Context(), func(client *repo.Client) error {
				p, err := client.APIKeys.GetAllAPIKeys(c.Context(), f).Get()
				if err != nil {
					return err
				}
				return printAPIKeys(c.OutOrStdout(), p, *asJSON)
			})
		},
	}
	c.Flags().BoolVar(&active, "active", false, "only keys that are neither disabled nor expired; =false: only the others")
	c.Flags().StringVar(&f.Permissions, "permissions", "", "only keys that may use one platform")
	c.Flags().StringArrayVar(&f.Tags, "tag", nil, "only keys with this tag, and with each one that is given")
	c.Flags().IntVar(&f.Limit, "limit", 50, "how many at most, up to 1,000")
	c.Flags().IntVar(&f.Offset, "offset", 0, "how many to leave out first")
	c.Flags().StringVar(&f.SortBy, "sort-by", "createdAt", "createdAt, name, lastUsedAt or expiresAt")
	c.Flags().StringVar(&f.SortOrder, "sort-order", "DESC", "DESC or ASC")
	return c
}

func newKeysShowCmd(asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a key's settings, without its hash", Args: cobra.ExactArgs(1),
		Example: "  relaystore keys show 0190b8a0-0000-7000-8000-000000000001",
		RunE: func(c *cobra.Command, args []string) error {
			return withClient(c.Context(), func(client *repo.Client) error {
				k, err := client.APIKeys.GetAPIKey(c.Context(), args[0]).Get()
				if err != nil {
					return err
				}
				return printAPIKey(c.OutOrStdout(), k, *asJSON)
			})
		},
	}
}

func newKeysSwitchCmd(asJSON *bool, verb, short string, on bool) *cobra.Command {
	return &cobra.Command{
		Use: verb + " ID", Short: short, Args: cobra.ExactArgs(1),
		Example: "  relaystore keys " + verb + " 0190b8a0-0000-7000-8000-000000000001",
		RunE: func(c *cobra.Command, args []string) error {
			return withClient(c.Context(), func(client *repo.Client) error {
				k, err := client.APIKeys.UpdateAPIKey(c.Context(), args[0], apikeys.Patch{IsActive: result.Set(on)}).Get()
				if err != nil {
					return err
				}
				return printAPIKey(c.OutOrStdout(), k, *asJSON)
			})
		},
	}
}
