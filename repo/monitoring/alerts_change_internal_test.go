package monitoring

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
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
	holds(uuid.New(), "1 hour")
	require.NoError(t, a.leave(t.Context()))
	var held bool
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT expires_at > clock_timestamp() FROM performance_evaluator").Scan(&held))
	require.True(t, held, "nobody gives another one's lease back")

	exec("UPDATE performance_alerts SET state = $1, since = $2", seen.State, seen.Since)
	holds(a.self, "1 hour")
	require.Equal(t, 1, change(seen, AlertFiring))
	require.Equal(t, string(AlertFiring), row().State)
}

// Whoever made the last attempt has died in it: the delivery is given up, not tried for
// ever. What has ended is kept for a day.
func TestTidy(t *testing.T) {
	t.Parallel()
	pool := testdb.Pool(t, testdb.URL(t))
	a := NewAlerts(AlertsConfig{Primary: &strategy.Postgres{Pool: pool, OpTimeout: 5 * time.Second}, Secret: make([]byte, minSecret), every: time.Hour})
	t.Cleanup(func() { a.Close(context.Background()) })
	_, err := pool.Exec(t.Context(), `WITH a AS (
			INSERT INTO performance_alerts (id, metric, operator, threshold, duration_ms, webhook)
			SELECT gen_random_uuid(), 'errors.rate', '>', n, 0, 'http://127.0.0.1:1/' FROM generate_series(1, 4) n RETURNING id, threshold)
		INSERT INTO performance_alert_deliveries (id, alert_id, body, attempts, next_attempt_at, finished_at, outcome)
		SELECT gen_random_uuid(), a.id, d.body, d.attempts, clock_timestamp() + d.next::interval, clock_timestamp() + d.finished::interval, d.outcome
		FROM a JOIN (VALUES (1, 'died', $1::integer, '-1 ms', NULL, ''), (2, 'under way', $1, '1 hour', NULL, ''),
			(3, 'of today', 1, '0', '-23 hours', 'delivered'), (4, 'old', 1, '0', '-25 hours', 'delivered')) AS d (n, body, attempts, next, finished, outcome)
			ON d.n = a.threshold`, maxAttempts)
	require.NoError(t, err)
	outcomes := func() map[string]string {
		rows, err := pool.Query(t.Context(), "SELECT body || ' ' || attempts, outcome FROM performance_alert_deliveries")
		require.NoError(t, err)
		all := make(map[string]string)
		var body, outcome string
		_, err = pgx.ForEachRow(rows, []any{&body, &outcome}, func() error { all[body] = outcome; return nil })
		require.NoError(t, err)
		return all
	}
	before := outcomes()
	require.Len(t, before, 4)
	require.NoError(t, a.deliver(t.Context()))
	require.Equal(t, before, outcomes(), "nothing is tried once more")
	require.NoError(t, a.tidy(t.Context()))
	require.Equal(t, map[string]string{"died 10": "failed", "under way 10": "", "of today 1": "delivered"}, outcomes())
}
