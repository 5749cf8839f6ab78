package metrics_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/metrics"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// Of bundle's client: every kind of series has a value.
const (
	records = 20
	lookups = 30
)

type bundle struct {
	*testing.T

	client   *repo.Client
	registry *prometheus.Registry
}

// setup gives a client with a cache and a journal, and the load of the constants.
func setup(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	cfg := testclient.Config(t)
	cfg.UsageWrites, cfg.SlowQuery = repo.WriteBehind, time.Millisecond
	b := &bundle{t, testclient.Open(t, cfg), prometheus.NewPedanticRegistry()}
	b.registry.MustRegister(metrics.NewCollector(b.client.Monitoring))
	k, err := b.client.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n"}).Get()
	require.NoError(t, err)
	require.ErrorIs(t, b.client.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{ID: k.ID, Name: "n"}).Err(), result.DuplicateKey)
	for range lookups {
		require.NoError(t, b.client.APIKeys.ValidateAPIKey(t.Context(), k.HashedKey).Err())
	}
	batch := make([]usage.Record, records)
	for i := range batch {
		batch[i] = usage.Record{APIKeyID: k.ID, AccountType: "claude", Model: "m", RequestCount: 1, RequestID: uuid.NewString()}
	}
	for _, s := range b.client.Usage.RecordUsageBatch(t.Context(), batch) {
		require.NoError(t, s.Err())
	}
	require.Eventually(t, func() bool { return b.client.Monitoring.Process(t.Context()).Cache.Age >= 0 }, time.Minute, time.Millisecond)
	return b
}

// gather gives the metrics by name.
func (b *bundle) gather() map[string]*dto.MetricFamily {
	b.Helper()
	families, err := b.registry.Gather()
	require.NoError(b, err)
	all := make(map[string]*dto.MetricFamily, len(families))
	for _, f := range families {
		all[f.GetName()] = f
	}
	return all
}

// value is that of the one series of a metric with a label's value, if it has labels.
func value(t *testing.T, f *dto.MetricFamily, label string) float64 {
	t.Helper()
	require.NotNil(t, f)
	for _, m := range f.GetMetric() {
		if len(m.GetLabel()) == 0 || m.GetLabel()[0].GetValue() == label {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() // one of them is
		}
	}
	require.Fail(t, "no such series", "%s %s", f.GetName(), label)
	return 0
}

func TestExpositionIsClean(t *testing.T) {
	b := setup(t)
	problems, err := testutil.GatherAndLint(b.registry)
	require.NoError(t, err)
	require.Empty(t, problems)
	n, err := testutil.GatherAndCount(b.registry)
	require.NoError(t, err)
	require.Less(t, n, 4*501+3*3+17+60)
}

func TestValuesAreTheLoads(t *testing.T) {
	b := setup(t)
	all := b.gather()
	require.InDelta(t, 1, value(t, all["relaystore_errors_total"], "DB_DUPLICATE_KEY"), 0)
	require.InDelta(t, 1, value(t, all["relaystore_query_failed_total"], "APIKeyInsert"), 0)
	require.InDelta(t, 2, value(t, all["relaystore_query_calls_total"], "APIKeyInsert"), 0)
	hits, misses := value(t, all["relaystore_cache_hits_total"], "apikey"), value(t, all["relaystore_cache_misses_total"], "apikey")
	require.InDelta(t, lookups, hits+misses, 0)
	require.Positive(t, misses)
	batches := all["relaystore_usage_batch_records"].GetMetric()[0].GetHistogram()
	require.InDelta(t, records, batches.GetSampleSum(), 0)
	require.EqualValues(t, 1, batches.GetSampleCount())
	for _, bucket := range batches.GetBucket() {
		in := uint64(0)
		if bucket.GetUpperBound() >= records {
			in = 1
		}
		require.Equal(t, in, bucket.GetCumulativeCount(), bucket.GetUpperBound())
	}
	times := all["relaystore_query_duration_seconds"].GetMetric()[0].GetHistogram()
	require.Len(t, times.GetBucket(), 16)
	require.Positive(t, times.GetSampleCount())
	require.InDelta(t, 8, value(t, all["relaystore_pool_connections_max"], ""), 0)
}

// What PostgreSQL does not tell is not there.
func TestWhatIsUnknownIsLeftOut(t *testing.T) {
	b := setup(t)
	require.Contains(t, b.gather(), "relaystore_outbox_oldest_seconds")
	require.Contains(t, b.gather(), "relaystore_journal_unflushed_records")
	require.NoError(t, b.client.Close(context.Background()))
	all := b.gather()
	require.NotContains(t, all, "relaystore_outbox_oldest_seconds")
	require.NotContains(t, all, "relaystore_outbox_waiting_changes")
	require.NotContains(t, all, "relaystore_journal_unflushed_records")
	require.InDelta(t, 1, value(t, all["relaystore_errors_total"], "DB_DUPLICATE_KEY"), 0)
}

func TestWithoutRedisThereIsNoCache(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	cfg.RedisURL, cfg.RequireRedis = "", false
	b := &bundle{t, testclient.Open(t, cfg), prometheus.NewPedanticRegistry()}
	b.registry.MustRegister(metrics.NewCollector(b.client.Monitoring))
	for name := range b.gather() {
		require.NotRegexp(t, "^relaystore_(cache|consistency|journal)", name)
	}
}
