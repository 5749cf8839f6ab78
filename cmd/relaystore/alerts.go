package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/monitoring"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const alertsHelp = `Shows and changes what webhooks hear of: a figure that passes a threshold for a time.
Gateways evaluate, one of them at a time. A webhook's URL may hold a secret: it is read
from a file or standard input, and nothing shows more than its host.`

// maxWebhookFile bounds what is read as a URL.
const maxWebhookFile = 4096

// newAlertsCmd is `relaystore alerts`.
func newAlertsCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "alerts", Short: "List, set and remove alerts", Long: alertsHelp,
		Example: "  relaystore alerts list\n  relaystore alerts set errors.rate '>' 0.5 --for 1m --webhook url.txt\n  relaystore alerts remove ID",
	}
	asJSON := c.PersistentFlags().Bool("json", false, "print one JSON object")
	c.AddCommand(newAlertsListCmd(asJSON), newAlertsSetCmd(asJSON), newAlertsRemoveCmd(asJSON))
	return c
}

func newAlertsListCmd(asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all alerts and where they stand", Args: cobra.NoArgs, Example: "  relaystore alerts list --json",
		RunE: func(c *cobra.Command, _ []string) error {
			return withClient(c.Context(), func(client *repo.Client) error {
				list, err := client.Monitoring.ListPerformanceAlerts(c.Context()).Get()
				if err != nil {
					return err
				}
				if *asJSON {
					for i := range list.Alerts {
						list.Alerts[i].Webhook = hostOf(list.Alerts[i].Webhook)
					}
					return printJSON(c.OutOrStdout(), list)
				}
				printAlerts(c.OutOrStdout(), list.Alerts)
				return nil
			})
		},
	}
}

func newAlertsSetCmd(asJSON *bool) *cobra.Command {
	var hold time.Duration
	var webhook string
	c := &cobra.Command{
		Use: "set METRIC OPERATOR THRESHOLD", Short: "Let a webhook hear of a figure", Args: cobra.ExactArgs(3),
		Long:    "Lets a webhook hear of a figure. The metrics are\n  " + strings.Join(monitoring.AlertMetrics, "\n  ") + "\nand the operators > < and >=.",
		Example: "  relaystore alerts set redis.memory.utilization '>=' 0.9 --for 5m --webhook url.txt",
		RunE: func(c *cobra.Command, args []string) (err error) {
			threshold, err := strconv.ParseFloat(args[2], 64)
			if err != nil {
				return result.Invalid("threshold", "must be a number")
			}
			a := monitoring.AlertConfig{Metric: args[0], Operator: monitoring.Operator(args[1]), Threshold: threshold, Duration: hold}
			if webhook != "" {
				text, err := readBounded(c.InOrStdin(), webhook, maxWebhookFile)
				if err != nil {
					return err
				}
				a.Webhook = strings.TrimSpace(string(text))
			}
			return withClient(c.Context(), func(client *repo.Client) error {
				return setAlert(c, client, a, *asJSON)
			})
		},
	}
	c.Flags().DurationVar(&hold, "for", 0, "how long it must hold")
	c.Flags().StringVar(&webhook, "webhook", "", "the file that has the URL; - is standard input")
	return c
}

// setAlert tells the id, too, by which it can be removed.
func setAlert(c *cobra.Command, client *repo.Client, a monitoring.AlertConfig, asJSON bool) error {
	status := client.Monitoring.SetPerformanceAlert(c.Context(), a)
	if status.Err() != nil || asJSON {
		return done(c, status, asJSON, "")
	}
	list, err := client.Monitoring.ListPerformanceAlerts(c.Context()).Get()
	if err != nil {
		return err
	}
	a.Duration = a.Duration.Truncate(time.Millisecond)
	i := slices.IndexFunc(list.Alerts, func(set monitoring.Alert) bool { return set.AlertConfig == a })
	if i < 0 { // somebody has removed it
		return done(c, status, asJSON, "Set.")
	}
	return done(c, status, asJSON, "Set "+list.Alerts[i].ID+".")
}

func newAlertsRemoveCmd(asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use: "remove ID", Short: "Remove an alert", Args: cobra.ExactArgs(1), Example: "  relaystore alerts remove 0190b8a0-0000-7000-8000-000000000001",
		RunE: func(c *cobra.Command, args []string) error {
			return withClient(c.Context(), func(client *repo.Client) error {
				return done(c, client.Monitoring.RemovePerformanceAlert(c.Context(), args[0]), *asJSON, "Removed.")
			})
		},
	}
}

// done tells of a call that gives nothing else.
func done(c *cobra.Command, status result.Status, asJSON bool, said string) error {
	switch {
	case status.Err() != nil:
		return status.Err()
	case asJSON:
		return printJSON(c.OutOrStdout(), status)
	}
	_, err := fmt.Fprintln(c.OutOrStdout(), said)
	return err
}
