package importer_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/importer"
	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/legacyobjects"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/strategy"
)

// rests gives what is kept of a key's counters.
func (d *deployment) rests(t *testing.T, kind, id string) (doc map[string]any) {
	t.Helper()
	objects, err := d.client.LegacyObjects.Get(t.Context(), kind, []string{id})
	require.NoError(t, err)
	require.Len(t, objects, 1)
	require.NoError(t, json.Unmarshal(objects[0].Data, &doc))
	return doc
}

// What counters have besides their figures stays, also when it has expired over there,
// and goes back with the figures.
func TestRestsOfCounters(t *testing.T) {
	t.Parallel()
	d, s := deploy(t), newService()
	key, account := s.key("one", nil), s.account(t)
	at := time.Now()
	s.record(key, account, "m:free", at, legacyUsage{InputTokens: 1, CacheCreateTokens: 30}, 0.5)
	parts := map[string]int64{"ephemeral5mTokens": 10, "ephemeral1hTokens": 20}
	day, hour := legacy.Bucket(legacy.Day, at, s.zone), legacy.Bucket(legacy.Hour, at, s.zone)
	daily := "usage:daily:" + key + ":" + day
	model := "usage:" + key + ":model:daily:m:free:" + day
	hourly := "usage:hourly:" + key + ":" + hour
	accountDay := "account_usage:daily:" + account + ":" + day
	for _, name := range []string{daily, model, hourly, accountDay} {
		s.add(name, false, parts)
	}
	s.add("usage:"+key, true, parts)
	s.set(daily, "longContextRequests", "1")
	s.set(daily, "longContextInputTokens", "300000")
	s.set(daily, "of tomorrow", "x\x1b[31m")
	s.texts["usage:opus:weekly:"+key+":2026-11-02T00"] = "1.25"
	s.into(t, d)
	rep := d.run(t)
	require.Zero(t, rep.Unexplained)
	require.Contains(t, rep.Skipped, importer.Skipped{Kind: "counter_rest", Reason: "5 counters of 2 keys and accounts have parts of cache tokens, " +
		"long contexts or fields that are not known: kept as they were, beside the figures"})
	first := d.rests(t, legacyobjects.KeyRests, key)
	require.Len(t, first, 4)
	require.Equal(t, map[string]any{
		"ephemeral5mTokens": "10", "ephemeral1hTokens": "20", "longContextRequests": "1", "longContextInputTokens": "300000", "of tomorrow": "x\x1b[31m",
	}, first[daily])
	require.Len(t, d.rests(t, legacyobjects.AccountRests, account), 1)

	delete(s.hashes, hourly) // it expires
	delete(s.texts, "usage:opus:weekly:"+key+":2026-11-02T00")
	s.texts["usage:opus:weekly:"+key+":2026-11-09T00"] = "2.5"
	s.set(daily, "ephemeral5mTokens", "11")
	s.into(t, d)
	require.NotZero(t, d.run(t).written)
	second := d.rests(t, legacyobjects.KeyRests, key)
	require.Equal(t, first[hourly], second[hourly])
	require.Equal(t, "11", second[daily].(map[string]any)["ephemeral5mTokens"])
	require.Equal(t, map[string]any{"usage:opus:weekly:" + key + ":2026-11-02T00": "1.25", "usage:opus:weekly:" + key + ":2026-11-09T00": "2.5"},
		d.rests(t, string(legacy.KeyOpusCost), key))
	require.Zero(t, d.run(t).written, "nothing has changed")

	d.cfg.PrimaryRedisURL = d.url
	client := testclient.Open(t, d.cfg)
	for range 2 {
		require.NoError(t, client.Storage.SwitchStorageStrategy(t.Context(), strategy.Usage, toRedis).Err())
		for name, want := range map[string][4]string{
			daily: {"11", "20", "1", "300000"}, model: {"10", "20"}, hourly: {"10", "20"}, accountDay: {"10", "20"},
			"usage:global:daily:" + day: {"11", "20"}, "usage:model:daily:m:free:" + day: {"10", "20"},
		} {
			fields, err := d.do(t, "HGETALL", name).AsStrMap()
			require.NoError(t, err)
			require.Equal(t, want, [4]string{fields["ephemeral5mTokens"], fields["ephemeral1hTokens"], fields["longContextRequests"], fields["longContextInputTokens"]}, name)
		}
		tomorrow, err := d.do(t, "HGET", daily, "of tomorrow").ToString()
		require.NoError(t, err)
		require.Equal(t, "x\x1b[31m", tomorrow)
		total, err := d.do(t, "HGET", "usage:"+key, "totalEphemeral1hTokens").ToString()
		require.NoError(t, err)
		require.Equal(t, "20", total)
		require.NoError(t, client.Storage.SwitchStorageStrategy(t.Context(), strategy.Usage, toPostgres).Err())
	}
}

// What a clean-up here has removed does not come back, and totals stay whole; also in the
// Redis that usage goes back to.
func TestImportAfterACleanUp(t *testing.T) {
	t.Parallel()
	d, s, r := deploy(t), newService(), seeded(7)
	keys, pool := []string{s.key("one", nil), s.key("two", nil)}, []string{s.account(t)}
	s.traffic(r, keys, pool, 200, time.Now(), 100)
	s.into(t, d)
	require.Zero(t, d.run(t).Unexplained)
	require.NoError(t, d.client.Usage.Cleanup(t.Context(), usage.CleanupOptions{RetentionDays: 10, Rollups: true}).Err())
	rep := d.run(t)
	require.Zero(t, rep.Unexplained, unexplained(rep))
	require.Zero(t, rep.written)
	s.traffic(r, keys, pool, 50, time.Now(), 5)
	late := s.key("three", nil) // it comes when a part of its time is cleaned up already
	s.traffic(r, []string{late}, nil, 50, time.Now(), 100)
	keys = append(keys, late)
	s.into(t, d)
	rep = d.run(t)
	require.Zero(t, rep.Unexplained, unexplained(rep))
	d.requireTruth(t, s, usage.ScopeKey, keys)
	d.requireTruth(t, s, usage.ScopeAccount, pool)
	require.Zero(t, d.run(t).written)

	d.cfg.PrimaryRedisURL = d.url
	require.NoError(t, testclient.Open(t, d.cfg).Storage.SwitchStorageStrategy(t.Context(), strategy.Usage, toRedis).Err())
	back := d.decode(t)
	cut := time.Now().UTC().AddDate(0, 0, -11).Format(time.DateOnly)
	for of, u := range back.figures {
		if of.day == "" && of.model == "" {
			require.Equal(t, s.truth[of.key], u)
			require.InDelta(t, s.costs[of.key], back.costs[of.key].InexactFloat64(), 1e-8)
		}
		require.False(t, of.day != "" && of.day < cut, "%s was cleaned up", of.day)
	}
}

// Of two imports into one database the second is refused, until the first has ended.
func TestOneImportAtATime(t *testing.T) {
	t.Parallel()
	d, s := deploy(t), newService()
	s.key("one", nil)
	s.into(t, d)
	turn, err := testclient.Open(t, d.cfg).LegacyObjects.Alone(t.Context())
	require.NoError(t, err)
	source, err := importer.OpenRedis(d.url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = source.Close() })
	_, err = d.importWith(t, source, importer.Options{EncryptionKey: fixtureKey, OffsetHours: 8})
	require.ErrorIs(t, err, result.TransactionConflict)
	require.ErrorContains(t, err, "another import")
	require.NoError(t, turn.Check(t.Context()))
	turn.Release()
	require.Error(t, turn.Check(t.Context()))
	require.Equal(t, 1, d.run(t).Imported["apikey"])
}

// Only what an import has paused, and nobody here, is an import's to resume.
func TestPausesOfPeople(t *testing.T) {
	t.Parallel()
	d, s := deploy(t), newService()
	untouched, paused, there := s.account(t), s.account(t), s.account(t)
	s.set("claude:account:"+there, "schedulable", "false")
	s.into(t, d)
	d.run(t)
	d.cfg.PrimaryRedisURL = d.url
	client := testclient.Open(t, d.cfg)
	ours := func() (ids []string) {
		page, err := client.Accounts.ListAccounts(t.Context(), accounts.ListFilters{Limit: 10}).Get()
		require.NoError(t, err)
		for _, a := range page.Accounts {
			require.False(t, a.Schedulable)
			if a.PausedByImport() {
				ids = append(ids, a.ID)
			}
		}
		return ids
	}
	require.ElementsMatch(t, []string{untouched, paused}, ours())
	require.NoError(t, client.Accounts.SetSchedulable(t.Context(), paused, false).Err())
	require.Equal(t, []string{untouched}, ours())
	s.set("claude:account:"+paused, "updatedAt", "2099-01-01T00:00:00.000Z") // by the service's refresh
	s.into(t, d)
	require.EqualValues(t, 1, d.run(t).written)
	require.Equal(t, []string{untouched}, ours(), "an import keeps it")
	require.Zero(t, d.run(t).written)

	require.NoError(t, client.Storage.SwitchStorageStrategy(t.Context(), strategy.Account, toRedis).Err())
	require.Equal(t, []string{untouched}, ours())
	require.NoError(t, client.Accounts.SetSchedulable(t.Context(), untouched, false).Err())
	require.Empty(t, ours())
}

// A Redis that goes away in the middle ends the import with an error: a SCAN does not go
// on at one that was started again.
func TestSourceIsLost(t *testing.T) {
	t.Parallel()
	d, s := deploy(t), newService()
	key := s.key("one", nil)
	s.account(t)
	s.traffic(seeded(3), []string{key}, nil, 50, time.Now(), 3)
	s.into(t, d)
	source, err := importer.OpenRedis(d.url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = source.Close() })
	lost := false
	_, err = d.importWith(t, source, importer.Options{EncryptionKey: fixtureKey, OffsetHours: 8, Progress: func(int, int) {
		if !lost {
			lost = true
			d.do(t, "CLIENT", "KILL", "TYPE", "normal")
		}
	}})
	require.ErrorContains(t, err, "the legacy Redis does not answer")
	require.Zero(t, d.run(t).Unexplained)
	d.requireTruth(t, s, usage.ScopeKey, []string{key})
}

// An import whose turn is over, since its connection was lost, writes no figures any more.
func TestTurnIsLost(t *testing.T) {
	t.Parallel()
	d, s := deploy(t), newService()
	key := s.key("one", nil)
	s.traffic(seeded(3), []string{key}, nil, 50, time.Now(), 3)
	s.into(t, d)
	source, err := importer.OpenRedis(d.url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = source.Close() })
	pool := testdb.Pool(t, d.cfg.DatabaseURL)
	_, err = d.importWith(t, source, importer.Options{EncryptionKey: fixtureKey, OffsetHours: 8, Progress: func(int, int) {
		_, _ = pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE '%LegacyImportTry%' AND pid <> pg_backend_pid()`)
	}})
	require.ErrorIs(t, err, result.ConnectionFailed)
	var spans int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM usage_imported").Scan(&spans))
	require.Zero(t, spans)
}

// Names that a terminal would obey, models with colons, 10^12 tokens and another zone.
func TestOddDeployments(t *testing.T) {
	t.Parallel()
	for _, offset := range []int{-12, -5, 14} {
		d, s := deploy(t), newService()
		s.zone = legacy.Offset(offset)
		key := s.key("one", map[string]string{"name": "line\nbreak\x1b[31m", "tags": `["\u001b]0;x\u0007"]`})
		now := time.Now()
		s.record(key, "", "a:2026-11-11:05:model:daily:b", now, legacyUsage{InputTokens: 3_000_000_000_000, CacheReadTokens: 9_000_000_000_000}, 123456.789)
		s.record(key, "", "usage:cost", now.Add(-50*time.Hour), legacyUsage{OutputTokens: 1}, 0)
		s.into(t, d)
		d.do(t, "SET", "other\x1b[2J\nsoftware", "x")
		d.do(t, "XADD", "bull:queue:events", "*", "a", "b")
		d.do(t, "PFADD", "usage:daily", "x")
		source, err := importer.OpenRedis(d.url)
		require.NoError(t, err)
		rep, err := d.importWith(t, source, importer.Options{EncryptionKey: fixtureKey, OffsetHours: offset})
		require.NoError(t, err)
		require.NoError(t, source.Close())
		require.Zero(t, rep.Unexplained, unexplained(rep))
		require.Equal(t, 2, rep.Found["foreign"])
		require.Contains(t, rep.Skipped, importer.Skipped{Kind: "usage", ID: "usage:daily", Reason: "is a string and should be a hash"})
		d.requireTruth(t, s, usage.ScopeKey, []string{key})
		stats, err := d.client.Usage.GetUsageStats(t.Context(), usage.StatsQuery{
			APIKeyID: key, StartDate: now.Truncate(time.Hour), EndDate: now.Truncate(time.Hour).Add(time.Hour), Granularity: usage.Hour,
		}).Get()
		require.NoError(t, err)
		require.EqualValues(t, 12_000_000_000_000, stats.Summary.TotalTokens)
		require.Contains(t, stats.Stats[0].Models, "a:2026-11-11:05:model:daily:b")
	}
}

// What is no text, or has a name that no id can be, is kept to the byte and named.
func TestWhatIsNoTextIsKept(t *testing.T) {
	t.Parallel()
	d, s := deploy(t), newService()
	key := s.key("one", nil)
	today := legacy.Bucket(legacy.Day, time.Now(), s.zone)
	model := "usage:" + key + ":model:daily:"
	wanted := map[string]string{ // by the kind that it is named by: a key and a field of it
		model + "\xff:" + today:                         "usage_model",
		model + strings.Repeat("m", 2000) + ":" + today: "usage_model",
		"usage:daily:" + key + ":" + today:              "usage",
		"usage:opus:weekly:" + key + ":2026-W40":        "cost_opus",
	}
	s.into(t, d)
	for name, kind := range wanted {
		if kind == "cost_opus" {
			d.do(t, "SET", name, "\xff")
			continue
		}
		d.do(t, "HSET", name, "requests", "1", "inputTokens", "2", "of tomorrow", "\xfe")
	}
	rep := d.run(t)
	require.Zero(t, rep.Unexplained, unexplained(rep))
	for _, skipped := range rep.Skipped {
		require.NotContains(t, skipped.Reason, "cannot be kept")
	}
	kept := make(map[string]string)
	for _, kind := range []string{"usage_model", "usage", "cost_opus"} {
		objects, err := d.client.LegacyObjects.List(t.Context(), kind, "", 10)
		require.NoError(t, err)
		for _, o := range objects {
			var doc struct{ Key, Value any }
			require.NoError(t, json.Unmarshal(o.Data, &doc))
			kept[plainOf(t, doc.Key)] = kind
			value := doc.Value
			if fields, is := value.(map[string]any); is && kind != "cost_opus" {
				value = fields["of tomorrow"]
			}
			require.Contains(t, []string{"\xfe", "\xff"}, plainOf(t, value))
		}
	}
	require.Equal(t, wanted, kept)
}

// plainOf gives back what is kept as text or in base64.
func plainOf(t *testing.T, kept any) string {
	t.Helper()
	if text, is := kept.(string); is {
		return text
	}
	raw, err := base64.StdEncoding.DecodeString(kept.(map[string]any)["base64"].(string))
	require.NoError(t, err)
	return string(raw)
}

// Ids of the same letters in both cases stop nothing and hide nothing.
func TestIDsInCapitals(t *testing.T) {
	t.Parallel()
	d, s := deploy(t), newService()
	key := s.key("one", nil)
	capitals := strings.ToUpper(key)
	s.hashes["apikey:"+capitals] = maps.Clone(s.hashes["apikey:"+key])
	s.hashes["apikey:"+capitals]["id"] = capitals
	s.set("usage:"+key, "totalRequests", "5")
	s.set("usage:"+capitals, "totalRequests", "7")
	s.into(t, d)
	rep := d.run(t)
	require.Zero(t, rep.Unexplained, unexplained(rep))
	require.Len(t, rep.Compare, 1)
	require.EqualValues(t, 5, rep.Compare[0].Target.Requests)
	for _, want := range []struct{ kind, id string }{{"apikey", capitals}, {"usage", capitals}} {
		require.True(t, slices.ContainsFunc(rep.Skipped, func(s importer.Skipped) bool { return s.Kind == want.kind && s.ID == want.id }), want)
	}
}
