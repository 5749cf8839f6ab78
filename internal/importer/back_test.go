package importer_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/replay"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/strategy"
)

// used says whose usage of what, when: a day of the service's zone, or "" for all time.
type used struct{ key, model, day string }

// books are what all keys must have used.
type books struct {
	figures map[used]legacyUsage
	costs   map[string]decimal.Decimal // of all time, by key
}

func (b books) add(key, model string, at time.Time, u legacyUsage) {
	for _, day := range []string{at.In(time.FixedZone("", 8*3600)).Format("2006-01-02"), ""} {
		of := used{key, model, day}
		f := b.figures[of]
		b.figures[of] = legacyUsage{
			f.InputTokens + u.InputTokens, f.OutputTokens + u.OutputTokens, f.CacheCreateTokens + u.CacheCreateTokens,
			f.CacheReadTokens + u.CacheReadTokens, f.AllTokens + u.AllTokens, f.Requests + u.Requests,
		}
	}
}

// served is what the service's own keys have used.
func served(t *testing.T, e expectation) books {
	t.Helper()
	b := books{map[used]legacyUsage{}, map[string]decimal.Decimal{}}
	for lines := bufio.NewScanner(unzip(t, fixture(t, "truth.jsonl.gz"))); lines.Scan(); {
		var r struct {
			T                     int64
			Key, Model            string
			Input, Output, CC, CR int64
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r))
		model := strings.TrimSuffix(strings.TrimPrefix(r.Model, "us.anthropic."), "-v1:0")
		b.add(r.Key, model, time.UnixMilli(r.T), legacyUsage{r.Input, r.Output, r.CC, r.CR, r.Input + r.Output + r.CC + r.CR, 1})
	}
	for _, k := range e.Keys {
		b.costs[k.ID] = k.Cost.Total.Decimal()
	}
	return b
}

// record counts a record of a key, here and there.
func (b books) record(t *testing.T, c *repo.Client, r usage.Record) {
	t.Helper()
	require.NoError(t, c.Usage.RecordUsage(t.Context(), r).Err())
	b.add(r.APIKeyID, r.Model, r.Timestamp, legacyUsage{r.InputTokens, r.OutputTokens, r.CacheCreationTokens, r.CacheReadTokens, r.TotalTokens, r.RequestCount})
	b.costs[r.APIKeyID] = b.costs[r.APIKeyID].Add(r.Cost.Decimal())
}

// recent writes the first rows of a trace as of the last two days.
func recent(t *testing.T, rows int) replay.Trace {
	t.Helper()
	source := filepath.Join("..", "..", "..", "shared", "data", "azure_llm_2023_code.csv.gz")
	if _, err := os.Stat(source); err != nil {
		t.Skip("needs ../shared/data beside the project")
	}
	path := filepath.Join(t.TempDir(), "trace.csv")
	file, err := os.Create(path)
	require.NoError(t, err)
	in, out := csv.NewReader(unzip(t, source)), csv.NewWriter(file)
	header, err := in.Read()
	require.NoError(t, err)
	require.NoError(t, out.Write(header))
	begin := time.Now().UTC().Add(-47 * time.Hour)
	for n := range rows {
		row, err := in.Read()
		require.NoError(t, err)
		row[slices.Index(header, "TIMESTAMP")] = begin.Add(time.Duration(n) * 47 * time.Hour / time.Duration(rows)).Format("2006-01-02 15:04:05.9999999")
		require.NoError(t, out.Write(row))
	}
	out.Flush()
	require.NoError(t, file.Close())
	trace, err := replay.Read(t.Context(), path)
	require.NoError(t, err)
	return trace
}

// replay adds what a trace is.
func (b books) replay(t *testing.T, c *repo.Client, trace replay.Trace, keys []string) {
	t.Helper()
	_, err := replay.Run(t.Context(), c, trace, replay.Options{Keys: len(keys), Callers: 8})
	require.NoError(t, err)
	require.NoError(t, trace.Each(t.Context(), func(row replay.Row) error {
		m, key := replay.Models[row.N%len(replay.Models)], keys[row.N%len(keys)]
		b.add(key, m.Name, row.Time, legacyUsage{InputTokens: row.Input, OutputTokens: row.Output, AllTokens: row.Input + row.Output, Requests: 1})
		b.costs[key] = b.costs[key].Add(m.Cost(row.Input, row.Output).Decimal())
		return nil
	}))
}

// replayKeys are the ids that a replay gives its keys.
func replayKeys(digest string, n int) (ids []string) {
	space := uuid.MustParse("5d0c1c3e-3f0e-5b61-9d1c-7a4b8f2e6a10")
	for i := range n {
		ids = append(ids, uuid.NewSHA1(space, []byte(digest+"/"+strconv.Itoa(n)+"/"+strconv.Itoa(i))).String())
	}
	return ids
}

var (
	modelCounter = regexp.MustCompile(`^usage:([0-9a-f-]{36}):model:daily:(.+):(\d{4}-\d\d-\d\d)$`)
	modelTotal   = regexp.MustCompile(`^usage:([0-9a-f-]{36}):model:alltime:(.+)$`)
	dayCounter   = regexp.MustCompile(`^usage:daily:([0-9a-f-]{36}):(\d{4}-\d\d-\d\d)$`)
	keyTotal     = regexp.MustCompile(`^usage:([0-9a-f-]{36})$`)
	costTotal    = regexp.MustCompile(`^usage:cost:total:([0-9a-f-]{36})$`)
)

// decode reads a Redis by the layout's description alone.
func (d *deployment) decode(t *testing.T) (b books) {
	t.Helper()
	b = books{map[used]legacyUsage{}, map[string]decimal.Decimal{}}
	keys, err := d.do(t, "KEYS", "usage:*").AsStrSlice()
	require.NoError(t, err)
	for _, key := range keys {
		if m := costTotal.FindStringSubmatch(key); m != nil {
			text, err := d.do(t, "GET", key).ToString()
			require.NoError(t, err)
			b.costs[m[1]] = decimal.RequireFromString(text).Round(9)
			continue
		}
		var of used
		prefix, whole := "", false
		if m := modelCounter.FindStringSubmatch(key); m != nil {
			of = used{m[1], m[2], m[3]}
		} else if m := modelTotal.FindStringSubmatch(key); m != nil {
			of = used{m[1], m[2], ""}
		} else if m := dayCounter.FindStringSubmatch(key); m != nil {
			of, whole = used{m[1], "", m[2]}, true
		} else if m := keyTotal.FindStringSubmatch(key); m != nil {
			of, prefix, whole = used{m[1], "", ""}, "total", true
		} else {
			continue
		}
		fields, err := d.do(t, "HGETALL", key).AsStrMap()
		require.NoError(t, err)
		field := func(name string) int64 {
			if prefix != "" {
				name = prefix + strings.ToUpper(name[:1]) + name[1:]
			}
			n, err := strconv.ParseInt(fields[name], 10, 64)
			require.NoError(t, err, "%s of %s", name, key)
			return n
		}
		u := legacyUsage{InputTokens: field("inputTokens"), OutputTokens: field("outputTokens"), CacheCreateTokens: field("cacheCreateTokens"), CacheReadTokens: field("cacheReadTokens"), Requests: field("requests")}
		u.AllTokens = u.InputTokens + u.OutputTokens + u.CacheCreateTokens + u.CacheReadTokens
		if whole || of.day != "" {
			require.Equal(t, u.AllTokens, field("allTokens"), key)
		}
		b.figures[of] = u
	}
	return b
}

// requireBooks compares what Redis keeps, by key and model and over all models.
func requireBooks(t *testing.T, want, got books) {
	t.Helper()
	oldest := time.Now().AddDate(0, 0, -31).Format("2006-01-02")
	living := func(of used, _ legacyUsage) bool { return of.day != "" && of.day < oldest }
	all := maps.Clone(want.figures)
	for of, u := range want.figures {
		whole := used{of.key, "", of.day}
		f := all[whole]
		all[whole] = legacyUsage{
			f.InputTokens + u.InputTokens, f.OutputTokens + u.OutputTokens, f.CacheCreateTokens + u.CacheCreateTokens,
			f.CacheReadTokens + u.CacheReadTokens, f.AllTokens + u.AllTokens, f.Requests + u.Requests,
		}
	}
	maps.DeleteFunc(all, living)
	maps.DeleteFunc(got.figures, living)
	require.Equal(t, all, got.figures)
	require.Len(t, got.costs, len(want.costs))
	for key, cost := range want.costs {
		require.Equal(t, cost.Round(9).String(), got.costs[key].String(), key)
	}
}

var (
	toRedis    = strategy.Config{PrimaryStorage: strategy.PrimaryRedis, ReadStrategy: strategy.DatabaseFirst, WriteStrategy: strategy.WriteThrough}
	toPostgres = strategy.Config{PrimaryStorage: strategy.PrimaryPostgres, ReadStrategy: strategy.DatabaseFirst, WriteStrategy: strategy.WriteThrough}
)

// TestGoingBack is a deployment's way to PostgreSQL, a stretch of a trace there, and the
// way back to the Redis that it came from, which still has its old counters.
func TestGoingBack(t *testing.T) {
	t.Parallel()
	e := expected(t)
	trace := recent(t, 2_000)
	d := deploy(t)
	d.load(t, fixture(t, "legacy-redis.resp.gz"))
	require.Zero(t, d.run(t).Unexplained)
	d.cfg.PrimaryRedisURL = d.url
	client := testclient.Open(t, d.cfg)

	want := served(t, e)
	want.replay(t, client, trace, replayKeys(trace.Digest, 3))
	record := usage.Record{
		APIKeyID: e.Keys[0].ID, AccountID: e.Accounts[0].ID, AccountType: "claude", Model: "claude-sonnet-4-20250514", InputTokens: 11, OutputTokens: 7,
		CacheCreationTokens: 3, CacheReadTokens: 5, TotalTokens: 26, Cost: result.MustMoney("0.0123456789"), RequestCount: 1,
		Timestamp: time.Now(), RequestID: "seen on PostgreSQL",
	}
	want.record(t, client, record)

	for _, of := range []strategy.DataType{strategy.Usage, strategy.APIKey} {
		require.NoError(t, client.Storage.SwitchStorageStrategy(t.Context(), of, toRedis).Err())
	}
	requireBooks(t, want, d.decode(t))
	again := client.Usage.RecordUsage(t.Context(), record)
	require.NoError(t, again.Err())
	require.True(t, again.Duplicate)
	record.RequestID = "first on Redis"
	want.record(t, client, record)
	requireBooks(t, want, d.decode(t))
	d.client = client
	d.requireAnswers(t, e)

	require.NoError(t, client.Storage.SwitchStorageStrategy(t.Context(), strategy.Usage, toPostgres).Err())
	want.requireTold(t, client)
	again = client.Usage.RecordUsage(t.Context(), record)
	require.NoError(t, again.Err())
	require.True(t, again.Duplicate)
	record.RequestID = "back on PostgreSQL"
	want.record(t, client, record)
	require.NoError(t, client.Storage.SwitchStorageStrategy(t.Context(), strategy.Usage, toRedis).Err())
	requireBooks(t, want, d.decode(t))
}

// requireTold asks the library for what all keys have used, by day and model.
func (b books) requireTold(t *testing.T, c *repo.Client) {
	t.Helper()
	told := books{map[used]legacyUsage{}, map[string]decimal.Decimal{}}
	first, last := time.Date(2026, 11, 18, 0, 0, 0, 0, time.FixedZone("", 8*3600)), time.Now().Add(24*time.Hour)
	for begin := first; begin.Before(last); begin = begin.AddDate(0, 0, 90) {
		s, err := c.Usage.GetUsageStats(t.Context(), usage.StatsQuery{
			StartDate: begin, EndDate: begin.AddDate(0, 0, 90), Granularity: usage.Day, TimeZone: zone, GroupBy: usage.ByAPIKey,
		}).Get()
		require.NoError(t, err)
		for _, day := range s.Stats {
			for key, f := range day.APIKeys {
				told.figures[used{key, "", day.Date}] = legacyUsage{f.InputTokens, f.OutputTokens, f.CacheCreationTokens, f.CacheReadTokens, f.TotalTokens, f.Requests}
				told.costs[key] = told.costs[key].Add(f.Cost.Decimal())
			}
		}
	}
	want := map[used]legacyUsage{}
	for of, u := range b.figures {
		if of.day != "" {
			whole := used{of.key, "", of.day}
			f := want[whole]
			want[whole] = legacyUsage{
				f.InputTokens + u.InputTokens, f.OutputTokens + u.OutputTokens, f.CacheCreateTokens + u.CacheCreateTokens,
				f.CacheReadTokens + u.CacheReadTokens, f.AllTokens + u.AllTokens, f.Requests + u.Requests,
			}
		}
	}
	require.Equal(t, want, told.figures)
	for key, cost := range b.costs {
		require.Equal(t, cost.Round(9).String(), told.costs[key].Round(9).String(), key)
	}
}
