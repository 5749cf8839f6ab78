package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// span is the range of time that figures are asked for.
type span struct{ from, to, zone string }

func (s *span) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.from, "from", "", "the range's begin: a date such as 2026-01-31 or a time such as 2026-01-31T12:00:00Z")
	c.Flags().StringVar(&s.to, "to", "", "the range's end, which is not in it; none is now")
	c.Flags().StringVar(&s.zone, "zone", "UTC", "the IANA zone whose days count")
}

// parse gives the range; without a begin it has so many days, months or hours.
func (s span) parse(now time.Time, by usage.Granularity) (from, to time.Time, err error) {
	zone, err := time.LoadLocation(s.zone)
	if err != nil {
		return from, to, result.Invalid("zone", "is not a time zone's name")
	}
	if to, err = parseDay("to", s.to, zone); err != nil {
		return from, to, err
	}
	if to.IsZero() {
		to = now
	}
	if from, err = parseDay("from", s.from, zone); err != nil || !from.IsZero() {
		return from, to, err
	}
	year, month, day := to.In(zone).Date()
	switch by {
	case usage.Hour:
		return to.Truncate(time.Hour).Add(-23 * time.Hour), to, nil
	case usage.Month:
		return time.Date(year, month-11, 1, 0, 0, 0, 0, zone), to, nil
	default:
		return time.Date(year, month, day-29, 0, 0, 0, 0, zone), to, nil
	}
}

// parseDay reads a date of the zone, or a time; none is the zero time.
func parseDay(flag, text string, zone *time.Location) (time.Time, error) {
	if at, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		return at, nil
	}
	at, err := parseMoment(flag, text)
	if err != nil {
		err = result.Invalid(flag, "must be a date such as 2026-01-31 or a time such as 2026-01-31T12:00:00Z")
	}
	return at, err
}

// newStatsCmd is `relaystore stats`.
func newStatsCmd() *cobra.Command {
	var q usage.StatsQuery
	var s span
	var by, group string
	var asJSON bool
	c := &cobra.Command{
		Use: "stats", Short: "Show usage and cost by hour, day or month", Args: cobra.NoArgs,
		Long: `Shows what was used: of everybody, of a key, of an account or of a model. Without
--from it is the last 24 hours, 30 days or 12 months. A date with ≈ has some of a
neighbour's figures, or lacks some.`,
		Example: "  relaystore stats --by month\n  relaystore stats --key ID --zone Asia/Shanghai --group-by account\n  relaystore stats --from 2026-01-01 --to 2026-02-01 --json",
		RunE: func(c *cobra.Command, _ []string) (err error) {
			q.Granularity, q.GroupBy, q.TimeZone = usage.Granularity(by), usage.GroupBy(group), s.zone
			if q.StartDate, q.EndDate, err = s.parse(time.Now(), q.Granularity); err != nil {
				return err
			}
			return withClient(c.Context(), func(client *repo.Client) error {
				stats, err := client.Usage.GetUsageStats(c.Context(), q).Get()
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(c.OutOrStdout(), stats)
				}
				printStats(c.OutOrStdout(), stats, q.GroupBy)
				return nil
			})
		},
	}
	c.Flags().StringVar(&q.APIKeyID, "key", "", "only the usage of this key")
	c.Flags().StringVar(&q.AccountID, "account", "", "only the usage of this account")
	c.Flags().StringVar(&q.Model, "model", "", "only the usage of this model")
	c.Flags().StringVar(&by, "by", string(usage.Day), "hour, day or month")
	c.Flags().StringVar(&group, "group-by", string(usage.ByModel), "what the second table has: model, account or apikey")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	s.flags(c)
	return c
}

// newCostCmd is `relaystore cost`.
func newCostCmd() *cobra.Command {
	var q usage.CostQuery
	var s span
	var group string
	var asJSON bool
	c := &cobra.Command{
		Use: "cost", Short: "Show what days, models or accounts cost", Args: cobra.NoArgs,
		Long:    `Shows what a range cost, in US dollars. Without --from it is the last 30 days.`,
		Example: "  relaystore cost\n  relaystore cost --group-by account --from 2026-01-01 --to 2026-02-01\n  relaystore cost --key ID --group-by day --json",
		RunE: func(c *cobra.Command, _ []string) (err error) {
			q.GroupBy, q.TimeZone = usage.GroupBy(group), s.zone
			if q.StartDate, q.EndDate, err = s.parse(time.Now(), usage.Day); err != nil {
				return err
			}
			return withClient(c.Context(), func(client *repo.Client) error {
				costs, err := client.Usage.GetCostAnalysis(c.Context(), q).Get()
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(c.OutOrStdout(), costs)
				}
				printCosts(c.OutOrStdout(), costs, q.GroupBy)
				return nil
			})
		},
	}
	c.Flags().StringVar(&q.APIKeyID, "key", "", "only the cost of this key")
	c.Flags().StringVar(&group, "group-by", string(usage.ByModel), "day, model or account")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	s.flags(c)
	return c
}
