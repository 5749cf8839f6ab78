package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"golang.org/x/sync/errgroup"

	"github.com/seed14a526e0/relaystore/internal/replay"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

const (
	storyDays     = 7
	storyRequests = 120 // a day, more towards the end
	storyCallers  = 16
)

// story prints what the demo does.
type story struct {
	w        io.Writer
	provider *provider
}

func (s *story) title(text string) {
	fmt.Fprintf(s.w, "\n  %s\n  %s\n\n", text, strings.Repeat("═", len(text)))
}

func (s *story) step(text string) { fmt.Fprintf(s.w, "▸ %s\n", text) }

func (s *story) note(format string, args ...any) {
	fmt.Fprintf(s.w, "    "+format+"\n", args...)
}

// client is one of the gateway's clients and the key it was given.
type client struct {
	name, id, plaintext string
}

func (s *story) play(ctx context.Context, c *repo.Client) error {
	clients, err := s.createKeys(ctx, c)
	if err != nil {
		return err
	}
	for _, chapter := range []func(context.Context, *repo.Client, []client) error{
		s.validate, s.record, s.figures, s.list, s.accounts, s.sessions, s.revoke,
	} {
		if err := chapter(ctx, c, clients); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) createKeys(ctx context.Context, c *repo.Client) ([]client, error) {
	s.step("Creating API keys")
	now := time.Now()
	var clients []client
	for _, data := range []apikeys.KeyData{
		{Name: "alice's editor", Tags: []string{"team-a"}, DailyCostLimit: result.MustMoney("25"), ConcurrencyLimit: 5},
		{Name: "bob's agent", Tags: []string{"team-a", "batch"}, Permissions: "claude,openai", ExpiresAt: now.Add(30 * 24 * time.Hour)},
		{Name: "carol's notebook", Tags: []string{"team-b"}, Permissions: "claude"},
		{Name: "dave's trial", Tags: []string{"trial"}, ExpiresAt: now.Add(-time.Hour)},
		{Name: "erin's old laptop", Tags: []string{"team-b"}},
	} {
		k, err := c.APIKeys.CreateAPIKey(ctx, data).Get()
		if err != nil {
			return nil, err
		}
		clients = append(clients, client{data.Name, k.ID, k.APIKey})
		s.note("%-18s %s…  (shown once, stored as a hash)", data.Name, k.APIKey[:11])
	}
	off := apikeys.Patch{IsActive: result.Set(false)}
	return clients, c.APIKeys.UpdateAPIKey(ctx, clients[4].id, off).Err()
}

func (s *story) validate(ctx context.Context, c *repo.Client, clients []client) error {
	s.step("Validating what clients sent")
	for _, who := range append(slices.Clone(clients), client{name: "a stranger", plaintext: "cr_0123456789abcdef"}) {
		if err := s.verdict(ctx, c, who); err != nil {
			return err
		}
	}
	return nil
}

// verdict shows what validation says; only an unexpected failure is an error.
func (s *story) verdict(ctx context.Context, c *repo.Client, who client) error {
	v, err := c.APIKeys.ValidatePlaintext(ctx, who.plaintext).Get()
	switch {
	case errors.Is(err, result.RecordNotFound):
		s.note("✗ %-18s refused: %s", who.name, result.RecordNotFound)
	case err != nil:
		return err
	case v.IsActive:
		s.note("✓ %-18s may use %s", who.name, v.Permissions)
	case !v.ExpiresAt.IsZero() && v.ExpiresAt.Before(time.Now()):
		s.note("✗ %-18s refused: expired", who.name)
	default:
		s.note("✗ %-18s refused: disabled", who.name)
	}
	return nil
}

// record plays a week of requests, and one of them twice.
func (s *story) record(ctx context.Context, c *repo.Client, clients []client) error {
	s.step("Recording a week of requests")
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(storyCallers)
	records := week(clients[:3], time.Now())
	begin := time.Now()
	for _, rec := range records {
		group.Go(func() error { return c.Usage.RecordUsage(running, rec).Err() })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	s.note("%d records committed in %s, %d callers", len(records), time.Since(begin).Round(time.Millisecond), storyCallers)
	again := c.Usage.RecordUsage(ctx, records[0])
	s.note("the first one sent again: success, counted once (duplicate: %t)", again.Duplicate)
	return again.Err()
}

// week is the same every time, but for the clock.
func week(clients []client, now time.Time) []usage.Record {
	var records []usage.Record
	midnight := now.UTC().Truncate(24 * time.Hour)
	for day := range storyDays {
		for i := range storyRequests * (day + 3) / storyDays {
			n := len(records)
			m := replay.Models[n*7%4]
			in, out := int64(400+n*37%5000), int64(50+n*13%700)
			records = append(records, usage.Record{
				APIKeyID: clients[n%len(clients)].id, AccountType: m.AccountType, Model: m.Name,
				InputTokens: in, OutputTokens: out, TotalTokens: in + out, Cost: m.Cost(in, out), RequestCount: 1,
				Timestamp: midnight.AddDate(0, 0, day-storyDays).Add(time.Duration(i) * 7 * time.Minute),
				RequestID: fmt.Sprintf("req-%d", n),
			})
		}
	}
	return records
}

func (s *story) figures(ctx context.Context, c *repo.Client, _ []client) error {
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	stats, err := c.Usage.GetUsageStats(ctx, usage.StatsQuery{
		StartDate: midnight.AddDate(0, 0, -storyDays), EndDate: midnight, Granularity: usage.Day, GroupBy: usage.ByModel,
	}).Get()
	if err != nil {
		return err
	}
	s.step("By day")
	s.byDay(stats)
	s.step("By model")
	s.byModel(stats)
	s.note("in all: %d requests, %d tokens, $%s, $%s a token", stats.Summary.TotalRequests,
		stats.Summary.TotalTokens, stats.Summary.TotalCost, stats.Summary.AverageCostPerToken)
	return nil
}

func (s *story) byDay(stats usage.Stats) {
	var dearest float64
	for _, b := range stats.Stats {
		dearest = max(dearest, b.Cost.Decimal().InexactFloat64())
	}
	t := newTable(s.w, table.Row{"day (UTC)", "requests", "tokens", "cost (US$)", ""}, 2, 3, 4)
	for _, b := range stats.Stats {
		width := int(20 * b.Cost.Decimal().InexactFloat64() / max(dearest, 1e-9))
		t.AppendRow(table.Row{b.Date, b.Requests, b.TotalTokens, b.Cost, strings.Repeat("█", width)})
	}
	t.Render()
}

func (s *story) byModel(stats usage.Stats) {
	sums := map[string]replay.ModelReport{}
	var names []string
	for _, b := range stats.Stats {
		for name, f := range b.Models {
			m, seen := sums[name]
			if !seen {
				names = append(names, name)
			}
			sums[name] = replay.ModelReport{Requests: m.Requests + f.Requests, TotalTokens: m.TotalTokens + f.TotalTokens, Cost: m.Cost.Add(f.Cost)}
		}
	}
	slices.Sort(names)
	t := newTable(s.w, table.Row{"model", "requests", "tokens", "cost (US$)"}, 2, 3, 4)
	for _, name := range names {
		t.AppendRow(table.Row{name, sums[name].Requests, sums[name].TotalTokens, sums[name].Cost})
	}
	t.Render()
}

func (s *story) list(ctx context.Context, c *repo.Client, _ []client) error {
	s.step("Listing keys, two a page, by name")
	for offset := 0; ; offset += 2 {
		p, err := c.APIKeys.GetAllAPIKeys(ctx, apikeys.Filters{Limit: 2, Offset: offset, SortBy: "name", SortOrder: "ASC"}).Get()
		if err != nil {
			return err
		}
		var names []string
		for _, k := range p.Keys {
			names = append(names, k.Name)
		}
		s.note("page %d of %d: %s", p.Page, p.TotalPages, strings.Join(names, ", "))
		if p.Page >= p.TotalPages {
			return nil
		}
	}
}

func (s *story) revoke(ctx context.Context, c *repo.Client, clients []client) error {
	s.step("Disabling alice's key, and asking again at once")
	if err := s.verdict(ctx, c, clients[0]); err != nil {
		return err
	}
	begin := time.Now()
	if err := c.APIKeys.UpdateAPIKey(ctx, clients[0].id, apikeys.Patch{IsActive: result.Set(false)}).Err(); err != nil {
		return err
	}
	s.note("disabled in %s", time.Since(begin).Round(10*time.Microsecond))
	if err := s.verdict(ctx, c, clients[0]); err != nil {
		return err
	}
	s.step("Deleting bob's key")
	if err := c.APIKeys.DeleteAPIKey(ctx, clients[1].id).Err(); err != nil {
		return err
	}
	return s.verdict(ctx, c, clients[1])
}
