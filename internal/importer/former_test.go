package importer_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/importer"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/strategy"
)

// requireRefused tries the Redis and a dump of it, with and without writing.
func (d *deployment) requireRefused(t *testing.T, field, says string) {
	t.Helper()
	live, err := importer.OpenRedis(d.url)
	require.NoError(t, err)
	defer func() { _ = live.Close() }()
	require.NoError(t, d.do(t, "SAVE").Error())
	dir, err := d.do(t, "CONFIG", "GET", "dir").AsStrMap()
	require.NoError(t, err)
	dump, err := importer.OpenDump(t.Context(), filepath.Join(dir["dir"], "dump.rdb"))
	require.NoError(t, err)
	defer func() { _ = dump.Close() }()
	for _, source := range []importer.Source{live, dump} {
		for _, dry := range []bool{true, false} {
			_, err := d.importWith(t, source, importer.Options{EncryptionKey: fixtureKey, OffsetHours: 8, DryRun: dry})
			var refused *result.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, result.InvalidQuery, refused.Code)
			require.Equal(t, field, refused.Details["field"])
			require.ErrorContains(t, err, says)
		}
	}
}

// written gives what an import could have changed: sums, and when rows have changed.
func (d *deployment) written(t *testing.T) (all string) {
	t.Helper()
	require.NoError(t, testdb.Pool(t, d.cfg.DatabaseURL).QueryRow(t.Context(), `SELECT concat_ws(' ',
		(SELECT count(*) || ' ' || coalesce(sum(requests), 0) FROM usage_imported),
		(SELECT md5(string_agg(k::text, ',' ORDER BY id)) FROM api_keys k),
		(SELECT md5(string_agg(a::text, ',' ORDER BY id)) FROM accounts a))`).Scan(&all))
	return all
}

// A Redis that is or has been a primary has what was recorded here in its counters: an
// import of it would count that again.
func TestFormerPrimary(t *testing.T) {
	t.Parallel()
	e := expected(t)
	d := deploy(t)
	d.load(t, fixture(t, "legacy-redis.resp.gz"))
	require.Zero(t, d.run(t).Unexplained)
	d.cfg.PrimaryRedisURL = d.url
	d.client = testclient.Open(t, d.cfg)
	want := served(t, e)
	want.record(t, d.client, usage.Record{
		APIKeyID: e.Keys[0].ID, AccountID: e.Accounts[0].ID, AccountType: "claude", Model: "claude-sonnet-4-20250514",
		InputTokens: 3, OutputTokens: 4, TotalTokens: 7, Cost: result.MustMoney("0.01"), RequestCount: 1, Timestamp: time.Now(),
	})
	require.Zero(t, d.run(t).Unexplained, "the service's own still comes")
	want.requireTold(t, d.client)

	for _, of := range []strategy.DataType{strategy.Usage, strategy.APIKey, strategy.Account} {
		require.NoError(t, d.client.Storage.SwitchStorageStrategy(t.Context(), of, toRedis).Err())
		d.requireRefused(t, "primaryStorage", "relaystore strategy switch "+string(of)+" --primary postgres")
		require.NoError(t, d.client.Storage.SwitchStorageStrategy(t.Context(), of, toPostgres).Err())
		after := d.written(t)
		d.requireRefused(t, "redis", "has been a primary of usage")
		require.Equal(t, after, d.written(t))
	}
	want.requireTold(t, d.client)

	// Keys alone are reason enough, and so are accounts: they would come paused.
	require.NoError(t, d.do(t, "DEL", strategy.EpochKey(strategy.Usage)).Error())
	d.requireRefused(t, "redis", "has been a primary of apikey")
	require.NoError(t, d.do(t, "DEL", strategy.EpochKey(strategy.APIKey)).Error())
	d.requireRefused(t, "redis", "has been a primary of account")
	require.NoError(t, d.do(t, "DEL", strategy.EpochKey(strategy.Account)).Error())
	d.requireRefused(t, "redis", "has been a primary of usage") // it was copied there

	// To another database all of it is new, as often as it comes.
	other := deploy(t)
	other.url = d.url
	require.Zero(t, other.run(t).Unexplained)
	require.Zero(t, other.run(t).Unexplained)
}

// Also a process that has not heard of the switch yet refuses.
func TestPrimaryOfAMomentAgo(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	d.client.Storage.Switches.Close() // looks no more
	d.cfg.PrimaryRedisURL = d.url
	require.NoError(t, testclient.Open(t, d.cfg).Storage.SwitchStorageStrategy(t.Context(), strategy.Usage, toRedis).Err())
	d.requireRefused(t, "primaryStorage", "the primary of usage is Redis")
}

// A move that died under way has left counters of this database's own.
func TestGivenUpMove(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	require.NoError(t, d.do(t, "SET", strategy.EpochKey(strategy.Usage), "held by nobody").Error())
	require.NoError(t, d.do(t, "SET", usage.CopiedKey, "1").Error())
	require.Zero(t, d.run(t).Unexplained, "nothing was recorded here")
	key, err := d.client.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "k"}).Get()
	require.NoError(t, err)
	require.NoError(t, d.client.Usage.RecordUsage(t.Context(), usage.Record{
		APIKeyID: key.ID, AccountType: "claude", Model: "m", InputTokens: 1, TotalTokens: 1, RequestCount: 1, Timestamp: time.Now(),
	}).Err())
	d.requireRefused(t, "redis", "has been a primary of usage")
	require.NoError(t, d.do(t, "DEL", usage.CopiedKey).Error())
	require.Zero(t, d.run(t).Unexplained, "a move that copied nothing has left nothing")
}
