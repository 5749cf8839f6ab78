package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// figuresPlace is a database with two models' usage of one key.
type figuresPlace struct {
	*testing.T

	env    []string
	key    string
	client *repo.Client
}

func setupFigures(t *testing.T) *figuresPlace {
	t.Helper()
	t.Parallel()
	cfg := testclient.Config(t)
	client := testclient.Open(t, cfg)
	key, err := client.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "al\x1b[2Jice"}).Get()
	require.NoError(t, err)
	p := &figuresPlace{T: t, key: key.ID, client: client, env: []string{"DATABASE_URL=" + cfg.DatabaseURL, "REDIS_URL=" + cfg.RedisURL, "RELAYSTORE_KEY_PREFIX=" + cfg.KeyPrefix, "RELAYSTORE_DIRECT_URL="}}
	for _, r := range []struct{ model, at, cost string }{
		{"opus", "2026-01-10T17:00:00Z", "3"}, {"opus", "2026-01-12T08:00:00Z", "1.5"}, {"haiku", "2026-01-12T09:00:00Z", "0.5"},
	} {
		p.record(client, r.model, r.at, r.cost)
	}
	return p
}

func (p *figuresPlace) record(client *repo.Client, model, at, cost string) {
	p.Helper()
	when, err := time.Parse(time.RFC3339, at)
	require.NoError(p, err)
	require.NoError(p, client.Usage.RecordUsage(p.Context(), usage.Record{
		APIKeyID: p.key, AccountType: "claude", Model: model, InputTokens: 10, OutputTokens: 5, TotalTokens: 15,
		RequestCount: 1, Cost: result.MustMoney(cost), Timestamp: when,
	}).Err())
}

func (p *figuresPlace) run(code int, args ...string) (out, errors string) {
	p.Helper()
	prog := relaystore(p.T, p.env, args...)
	out, got := prog.finish(p.T)
	require.Equal(p, code, got, prog.errors.String())
	return out, prog.errors.String()
}

var january = []string{"--from", "2026-01-10", "--to", "2026-01-13"}

func TestStatsCommand(t *testing.T) {
	p := setupFigures(t)
	out, _ := p.run(exitOK, append([]string{"stats"}, january...)...)
	require.Equal(t, `┌────────────┬──────────┬────────┬────────────┬──────────────────────────┐
│ date       │ requests │ tokens │ cost (US$) │                          │
├────────────┼──────────┼────────┼────────────┼──────────────────────────┤
│ 2026-01-10 │        1 │     15 │          3 │ ████████████████████████ │
│ 2026-01-11 │        0 │      0 │          0 │                          │
│ 2026-01-12 │        2 │     30 │          2 │ ████████████████         │
├────────────┼──────────┼────────┼────────────┼──────────────────────────┤
│ all        │        3 │     45 │          5 │                          │
└────────────┴──────────┴────────┴────────────┴──────────────────────────┘
┌───────┬──────────┬────────┬────────────┬──────────────────────────┐
│ model │ requests │ tokens │ cost (US$) │                          │
├───────┼──────────┼────────┼────────────┼──────────────────────────┤
│ opus  │        2 │     30 │        4.5 │ ████████████████████████ │
│ haiku │        1 │     15 │        0.5 │ ██▊                      │
└───────┴──────────┴────────┴────────────┴──────────────────────────┘
`, out)
	out, _ = p.run(exitOK, append([]string{"stats", "--group-by", "apikey", "--zone", "Asia/Shanghai", "--key", p.key}, january...)...)
	require.Contains(t, out, "│ 2026-01-11 │        1 │", "17:00 UTC is the next day there")
	require.Contains(t, out, p.key+" al\uFFFD[2Jice")
	out, _ = p.run(exitOK, append([]string{"stats", "--json", "--model", "haiku"}, january...)...)
	var s usage.Stats
	require.NoError(t, json.Unmarshal([]byte(out), &s))
	require.Equal(t, "0.5", s.Summary.TotalCost.String())
}

func TestCostCommand(t *testing.T) {
	p := setupFigures(t)
	out, _ := p.run(exitOK, append([]string{"cost"}, january...)...)
	require.Equal(t, `┌───────┬────────────┬────┬──────────────────────────┐
│ model │ cost (US$) │  % │                          │
├───────┼────────────┼────┼──────────────────────────┤
│ opus  │        4.5 │ 90 │ ████████████████████████ │
│ haiku │        0.5 │ 10 │ ██▊                      │
├───────┼────────────┼────┼──────────────────────────┤
│ all   │          5 │    │                          │
└───────┴────────────┴────┴──────────────────────────┘
┌────────────┬────────────┬──────────┬──────────────────────────┐
│ day        │ cost (US$) │   change │                          │
├────────────┼────────────┼──────────┼──────────────────────────┤
│ 2026-01-10 │          3 │   +0.0 % │ ████████████████████████ │
│ 2026-01-11 │          0 │ -100.0 % │                          │
│ 2026-01-12 │          2 │   +0.0 % │ ████████████████         │
└────────────┴────────────┴──────────┴──────────────────────────┘
`, out)
	out, _ = p.run(exitOK, append([]string{"cost", "--json", "--group-by", "account"}, january...)...)
	var c usage.CostAnalysis
	require.NoError(t, json.Unmarshal([]byte(out), &c))
	require.Equal(t, "100", c.CostBreakdown[0].Percentage.String())
}

func TestFiguresRefuse(t *testing.T) {
	p := setupFigures(t)
	for flag, args := range map[string][]string{
		"zone": {"stats", "--zone", "Mars/Olympus"}, "from": {"cost", "--from", "yesterday"},
		"by": {"stats", "--by", "week"}, "group-by": {"cost", "--group-by", "apikey"}, "key": {"stats", "--key", "x' OR 1=1"},
		"to": {"cost", "--from", "2026-01-02", "--to", "2026-01-01"},
	} {
		_, text := p.run(exitUsage, args...)
		require.Contains(t, text, "--"+flag)
	}
}

func TestSpanWithoutABegin(t *testing.T) {
	now := time.Date(2026, 3, 31, 18, 30, 0, 0, time.UTC)
	for by, begin := range map[usage.Granularity]string{
		usage.Hour: "2026-03-31T03:00:00+08:00", usage.Day: "2026-03-03T00:00:00+08:00", usage.Month: "2025-05-01T00:00:00+08:00",
	} {
		from, to, err := span{zone: "Asia/Shanghai"}.parse(now, by)
		require.NoError(t, err)
		require.Equal(t, begin, from.In(time.FixedZone("", 8*3600)).Format(time.RFC3339))
		require.Equal(t, now, to)
	}
}

func TestBar(t *testing.T) {
	for part, want := range map[string]string{"0": "", "-1": "", "0.0001": "▏", "24": "████████████████████████", "1": "█", "1.5": "█▌"} {
		require.Equal(t, want, bar(decimal.RequireFromString(part), decimal.NewFromInt(barWidth)))
	}
}

func TestFiguresOfImports(t *testing.T) {
	p := setupFigures(t)
	day := time.Date(2026, 1, 10, 16, 0, 0, 0, time.UTC) // the 11th in Shanghai
	require.NoError(t, p.client.Usage.Import(t.Context(), []usage.ImportedSpan{{
		Scope: usage.ScopeKey, ID: p.key, Model: "opus", Resolution: usage.SpanDay, Start: day, End: day.Add(24 * time.Hour),
		Requests: 1000, Cost: result.MustMoney("40"),
	}}).Err())
	out, _ := p.run(exitOK, append([]string{"stats", "--zone", "Asia/Shanghai", "--key", p.key}, january...)...)
	require.Regexp(t, `2026-01-11 +│ +1001 │`, out)
	require.NotContains(t, out, "≈")
	out, _ = p.run(exitOK, append([]string{"stats"}, january...)...)
	require.Regexp(t, `2026-01-10 ≈ +│ +1001 │`, out)
	require.Contains(t, out, "2026-01-11 ≈")
	require.NotContains(t, out, "2026-01-12 ≈")
	out, _ = p.run(exitOK, append([]string{"cost"}, january...)...)
	require.Regexp(t, `2026-01-10 ≈ +│ +43 │`, out)
}
