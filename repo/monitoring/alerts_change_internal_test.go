package monitoring

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/strategy"
)

// A round that has stalled writes what it saw long ago. Where somebody else has changed
// the alert, or has the lease, or may have it, the state stays and no webhook hears.
func TestAStalledRoundChangesNothing(t *testing.T) {
	t.Parallel()
	pool := testdb.Pool(t, testdb.URL(t))
	const metric = "redis.memory.used"
	a := NewAlerts(AlertsConfig{
		Primary: &strategy.Postgres{Pool: pool, OpTimeout: 5 * time.Second}, Secret: make([]byte, minSecret), every: time.Hour,
		Sources: map[string]Source{metric: func(context.Context, string, time.Duration) (float64, error) { return 0, nil }},
	})
	t.Cleanup(func() { a.Close(context.Background()) })
	c := AlertConfig{Metric: metric, Operator: Above, Webhook: "https://example.com/hook"}
	require.NoError(t, a.SetPerformanceAlert(t.Context(), c).Err())
	exec := func(sql string, args ...any) {
		_, err := pool.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	holds := func(holder uuid.UUID, until string) {
		exec("UPDATE performance_evaluator SET holder = $1, expires_at = clock_timestamp() + $2::text::interval", holder, until)
	}
	row := func() db.AlertStatesRow {
		rows, err := db.New().AlertStates(t.Context(), pool, 1)
		require.NoError(t, err)
		require.Len(t, rows, 1)
		return rows[0]
	}
	change := func(was db.AlertStatesRow, to AlertState) (deliveries int) {
		require.NoError(t, a.change(t.Context(), was, standing{to, was.Since.Add(time.Second)}, AlertEvent{AlertID: was.ID.String()}))
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM performance_alert_deliveries").Scan(&deliveries))
		return deliveries
	}
	seen := row()
	for name, meanwhile := range map[string]func(){
		"another one has the lease": func() { holds(uuid.New(), "1 hour") },
		"its own lease has ended":   func() { holds(a.self, "-1 ms") },
		"another state":             func() { exec("UPDATE performance_alerts SET state = 'pending'") },
		"the same state again":      func() { exec("UPDATE performance_alerts SET since = since + interval '1 ms'") },
	} {
		exec("UPDATE performance_alerts SET state = $1, since = $2", seen.State, seen.Since)
		holds(a.self, "1 hour")
		meanwhile()
		stands := row()
		require.Zero(t, change(seen, AlertFiring), name)
		require.Equal(t, stands, row(), name)
	}
	exec("UPDATE performance_alerts SET state = $1, since = $2", seen.State, seen.Since)
	holds(a.self, "1 hour")
	require.Equal(t, 1, change(seen, AlertFiring))
	require.Equal(t, string(AlertFiring), row().State)
}
