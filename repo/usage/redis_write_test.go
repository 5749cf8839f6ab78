package usage

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// TestRedisRecordsAsTheLayoutSays compares everything that records leave in Redis with
// their sums.
func TestRedisRecordsAsTheLayoutSays(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 3)
	rapid.Check(t, func(rt *rapid.T) {
		b.empty(t)
		g := generator{rt, b.keys, time.Now().UTC().AddDate(0, 0, -rapid.IntRange(4, 12).Draw(rt, "days")).Format(time.RFC3339)}
		want := newLegacySums()
		var records []Record
		for range rapid.IntRange(1, 3).Draw(rt, "batches") {
			batch := redisRecords(rt, g)
			for _, s := range b.RecordUsageBatch(t.Context(), batch) {
				require.NoError(rt, s.Err())
			}
			records = append(records, batch...)
		}
		for _, r := range records {
			want.record(r, 8)
		}
		want.requireSame(rt, b.dump(t), records)
	})
}

// redisRecords are the generator's, of models that the service names otherwise, too.
func redisRecords(t *rapid.T, g generator) (records []Record) {
	names := []string{
		"claude-sonnet-4", "gpt-5", "gemini-2.0-flash-exp:free", "us.anthropic.claude-sonnet-4-20250514-v1:0", "claude-sonnet-4[1m]",
		"llama3:latest", "eu.anthropic.claude-opus-4-v2:1", "gpt-5-v1:0",
	}
	for _, e := range g.entries() {
		r := e.Record
		r.Model = rapid.SampledFrom(names).Draw(t, "model")
		records = append(records, r)
	}
	return records
}

func TestRedisRefusals(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 1)
	before := b.dump(t)
	unknown := sample(uuid.NewString())
	requireRefused(t, b.RecordUsage(t.Context(), unknown).Err(), result.RecordNotFound, "apiKeyId")
	requireRefused(t, b.RecordKeyUsage(t.Context(), unknown).Err(), result.RecordNotFound, "keyId")
	dear := sample(b.keys[0])
	dear.Cost = result.MustMoney("9000000001")
	requireRefused(t, b.RecordUsage(t.Context(), dear).Err(), result.InvalidQuery, "cost")
	require.Equal(t, before, b.dump(t))
}
