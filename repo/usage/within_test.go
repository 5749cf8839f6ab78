package usage

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// The caller has left and PostgreSQL is away, for longer than RecordUsage tries: the
// record is in the ledger when it is back, once.
func TestRecordUsageWithin(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	proxy, url := faultproxy.Postgres(t, b.url)
	r := New(Config{Primary: &strategy.Postgres{Pool: testdb.Pool(t, url), OpTimeout: 5 * time.Second}, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	rec := sample(b.keys[0])
	rec.RequestID = "req"
	gone, leave := context.WithCancel(t.Context())
	leave()
	proxy.Cut()
	require.Error(t, r.RecordUsageWithin(gone, rec, 0).Err(), "it ends")
	done := make(chan result.Status, 1)
	go func() { done <- r.RecordUsageWithin(gone, rec, time.Minute) }()
	require.Error(t, r.RecordUsage(t.Context(), rec).Err())
	proxy.Pass()
	require.NoError(t, (<-done).Err())
	require.NoError(t, r.RecordUsageWithin(gone, rec, time.Minute).Err())
	b.requireRequests(t, 1)
}

// What no try can mend is told at once.
func TestRecordUsageWithinRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	rec := sample(b.keys[0])
	refused := b.RecordUsageWithin(t.Context(), rec, time.Hour).Err()
	require.Equal(t, "requestId", result.From(refused).Field())
	rec.RequestID, rec.TotalTokens = "req", -1
	require.ErrorIs(t, b.RecordUsageWithin(t.Context(), rec, time.Hour).Err(), result.InvalidQuery)
	rec = sample(uuid.NewString())
	rec.RequestID = "req"
	require.ErrorIs(t, b.RecordUsageWithin(t.Context(), rec, time.Hour).Err(), result.RecordNotFound)
	b.requireUntouched(t)
}
