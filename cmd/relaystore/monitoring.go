package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/monitoring"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/storage"
)

// newHealthCmd is `relaystore health`.
func newHealthCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "health", Short: "Ask PostgreSQL and Redis how they do", Args: cobra.NoArgs,
		Long: `Asks both servers now, and answers within a second or two whatever they do. It fails where
PostgreSQL, or a Redis that is configured, does not answer.`,
		Example: "  relaystore health\n  relaystore health --json",
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := health(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(c.OutOrStdout(), h)
			} else {
				printHealth(c.OutOrStdout(), h)
			}
			if err == nil && (!h.Postgres.Connected || h.Redis.Configured && !h.Redis.Connected) {
				err = &codeError{code: exitFailure}
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// health waits for a client's connections no longer than a look takes, and goes without a
// client where PostgreSQL does not answer. That Redis does not is for the look to tell.
func health(ctx context.Context) (h storage.Health, err error) {
	cfg, err := repo.ConfigFromEnv()
	if err != nil {
		return h, err
	}
	cfg.ConnectTimeout, cfg.RequireRedis = storage.HealthTimeout/2, false
	err = withConfig(ctx, cfg, func(client *repo.Client) (err error) {
		h, err = client.Storage.GetStorageHealth(ctx)
		return err
	})
	if errors.Is(err, result.ConnectionFailed) {
		return repo.Health(ctx, cfg)
	}
	return h, err
}

// newMetricsCmd is `relaystore metrics`.
func newMetricsCmd() *cobra.Command {
	var asJSON bool
	var within string
	c := &cobra.Command{
		Use: "metrics", Short: "Show how the gateways' data layer performs", Args: cobra.NoArgs,
		Long:    "Shows figures of all processes, which store what they have counted each minute.",
		Example: "  relaystore metrics --range 24h\n  relaystore metrics --json",
		RunE: func(c *cobra.Command, _ []string) error {
			return withClient(c.Context(), func(client *repo.Client) error {
				m, err := client.Monitoring.GetPerformanceMetrics(c.Context(), within)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(c.OutOrStdout(), m)
				}
				printMetrics(c.OutOrStdout(), m)
				return nil
			})
		},
	}
	c.Flags().StringVar(&within, "range", monitoring.Range1h, "how far back: 5m, 1h, 24h or 7d")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// newQueriesCmd is `relaystore queries`.
func newQueriesCmd() *cobra.Command {
	var asJSON bool
	var limit int
	c := &cobra.Command{
		Use: "queries", Short: "Show the slowest and the most frequent queries", Args: cobra.NoArgs,
		Long:    "Shows queries of all processes in the last seven days by their names in queries/, never with an argument.",
		Example: "  relaystore queries --limit 5\n  relaystore queries --json",
		RunE: func(c *cobra.Command, _ []string) error {
			return withClient(c.Context(), func(client *repo.Client) error {
				s, err := client.Monitoring.GetQueryStats(c.Context(), limit)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(c.OutOrStdout(), s)
				}
				printQueries(c.OutOrStdout(), s)
				return nil
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 10, "how many of each")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}
