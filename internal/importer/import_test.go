package importer_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/importer"
	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// requireTruth compares the imported spans with the requests that were made.
func (d *deployment) requireTruth(t *testing.T, s *service, scope usage.Scope, ids []string) {
	t.Helper()
	spans, err := d.client.Usage.Imported(t.Context(), scope, ids).Get()
	require.NoError(t, err)
	got, costs := make(map[string]legacyUsage), make(map[string]result.Money)
	for _, p := range spans {
		u := got[p.ID]
		got[p.ID] = legacyUsage{
			u.InputTokens + p.InputTokens, u.OutputTokens + p.OutputTokens, u.CacheCreateTokens + p.CacheCreationTokens,
			u.CacheReadTokens + p.CacheReadTokens, u.AllTokens + p.TotalTokens, u.Requests + p.Requests,
		}
		costs[p.ID] = costs[p.ID].Add(p.Cost)
	}
	for _, id := range ids {
		require.Equal(t, s.truth[id], got[id])
		if scope == usage.ScopeKey {
			require.InDelta(t, s.costs[id], costs[id].Decimal().InexactFloat64(), 1e-9)
		}
	}
}

// hours gives the requests of spans of hours, by the names of their counters.
func (d *deployment) hours(t *testing.T, keys []string) map[string]int64 {
	t.Helper()
	spans, err := d.client.Usage.Imported(t.Context(), usage.ScopeKey, keys).Get()
	require.NoError(t, err)
	requests := make(map[string]int64)
	for _, p := range spans {
		if p.Resolution == usage.SpanHour {
			n := legacy.Name{Kind: legacy.KeyModelUsage, ID: p.ID, Model: p.Model, Resolution: legacy.Hour, Bucket: legacy.Bucket(legacy.Hour, p.Start, legacy.Offset(8))}
			requests[n.Key()] = p.Requests
		}
	}
	return requests
}

func seeded(n uint64) *rand.Rand { return rand.New(rand.NewPCG(n, 9)) } //nolint:gosec // the same each time

// What the source forgets stays, what it adds is added, and nothing counts twice.
func TestImportAgainAndAgain(t *testing.T) {
	t.Parallel()
	d, s, r := deploy(t), newService(), seeded(1)
	keys := []string{s.key("one", nil), s.key("two", nil)}
	pool := []string{s.account(t)}
	now := time.Now()
	s.traffic(r, keys, pool, 400, now.AddDate(0, 0, -20), 120)
	hours := make(map[string]int64) // that some import has seen
	for step := range 4 {
		s.traffic(r, keys, pool, 100, now.AddDate(0, 0, -18+6*step), 6)
		s.expire(now.AddDate(0, 0, -18+6*step))
		s.into(t, d)
		for name, requests := range s.hours {
			if s.hashes[name] != nil {
				hours[name] = requests
			}
		}
		rep := d.run(t)
		require.Equal(t, hours, d.hours(t, keys))
		require.Zero(t, rep.Unexplained, "step %d: %v", step, rep.Skipped)
		require.NotZero(t, rep.written)
		d.requireTruth(t, s, usage.ScopeKey, keys)
		d.requireTruth(t, s, usage.ScopeAccount, pool)
		require.Zero(t, d.run(t).written, "nothing has changed")
	}
}

// What has been changed here since is not replaced by what the source still says.
func TestImportKeepsWhatIsNewerHere(t *testing.T) {
	t.Parallel()
	d, s := deploy(t), newService()
	id := s.key("one", nil)
	account := s.account(t)
	s.into(t, d)
	d.run(t)
	require.NoError(t, d.client.APIKeys.DeleteAPIKey(t.Context(), id).Err())
	require.NoError(t, d.client.Accounts.UpdateAccountStatus(t.Context(), account, "inactive", accounts.StatusMetadata{}).Err())
	rep := d.run(t)
	require.Zero(t, rep.written)
	require.ErrorIs(t, d.client.APIKeys.ValidatePlaintext(t.Context(), "one").Err(), result.RecordNotFound)
	require.Contains(t, rep.Skipped, importer.Skipped{Kind: "apikey", ID: id, Reason: "has changed here since; left as it is here"})
}

func TestWrongEncryptionKey(t *testing.T) {
	t.Parallel()
	d, s := deploy(t), newService()
	s.key("one", nil)
	s.account(t)
	s.into(t, d)
	source, err := importer.OpenRedis(d.url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = source.Close() })
	_, err = d.importWith(t, source, importer.Options{EncryptionKey: "another key", OffsetHours: 8})
	require.ErrorIs(t, err, result.InvalidQuery)
	require.Equal(t, "encryption-key-file", result.From(err).Details["field"])
	page, err := d.client.APIKeys.GetAllAPIKeys(t.Context(), apikeys.Filters{}).Get()
	require.NoError(t, err)
	require.Zero(t, page.Total, "found out before anything was written")
}

// A user who may read, and nothing else, is enough.
func TestSourceIsOnlyRead(t *testing.T) {
	t.Parallel()
	d, s := deploy(t), newService()
	keys := []string{s.key("one", nil)}
	s.traffic(seeded(2), keys, nil, 20, time.Now(), 3)
	s.into(t, d)
	d.do(t, "XADD", "billing:events", "*", "data", "{}")
	d.do(t, "LPUSH", "usage:records:"+keys[0], "{}")
	d.do(t, "ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read", "+@connection")
	at := "redis://reader:secret@" + d.addr(t) + "/0"
	source, err := importer.OpenRedis(at)
	require.NoError(t, err)
	t.Cleanup(func() { _ = source.Close() })
	rep, err := d.importWith(t, source, importer.Options{EncryptionKey: fixtureKey, OffsetHours: 8})
	require.NoError(t, err)
	require.Zero(t, rep.Unexplained)
	d.requireTruth(t, s, usage.ScopeKey, keys)
}

// Whatever is wrong with a deployment is named; nothing is lost without a word, and
// nothing stops the rest.
func TestDirtyDeployments(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	for seed := range uint64(8) {
		s, r := newService(), seeded(seed)
		clean := []string{s.key(fmt.Sprint("clean", seed), nil)}
		dirty := []string{s.key(fmt.Sprint("a", seed), nil), s.key(fmt.Sprint("b", seed), nil), s.key(fmt.Sprint("c", seed), nil)}
		s.traffic(r, append(dirty, clean...), []string{s.account(t)}, 150, time.Now(), 40)
		s.expire(time.Now())
		s.into(t, d)
		s.damage(r, d, t, dirty, 60)
		rep := d.run(t)
		require.Zero(t, rep.Unexplained, "seed %d: %s", seed, unexplained(rep))
		named := make(map[string]int)
		for _, k := range rep.Skipped {
			named[k.Kind]++
		}
		for kind, found := range rep.Found {
			if kind != "derived" && kind != "passing" && kind != "hash_map" {
				require.LessOrEqual(t, found, rep.Imported[kind]+named[kind], "seed %d: %s", seed, kind)
			}
		}
		d.requireTruth(t, s, usage.ScopeKey, clean)
		v, err := d.client.APIKeys.ValidatePlaintext(t.Context(), fmt.Sprint("clean", seed)).Get()
		require.NoError(t, err)
		require.True(t, v.IsActive)
		require.Zero(t, d.run(t).written, "seed %d: a second run changes nothing", seed)
	}
}

func unexplained(rep report) string {
	text := ""
	for _, c := range rep.Compare {
		if c.Differs() && c.Explained == "" {
			text += fmt.Sprintf("%+v\n", c)
		}
	}
	return text
}
