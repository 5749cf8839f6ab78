package monitoring_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/monitoring"
	"github.com/seed14a526e0/relaystore/strategy"
)

const (
	// evaluatorVar makes the test binary a process that evaluates the database it names,
	// where every figure is 11.
	evaluatorVar = "RELAYSTORE_TEST_EVALUATOR"
	// stopVar is the query before or after which that process stops for ever.
	stopVar = "RELAYSTORE_TEST_STOP"
	// pacedVar sets the tests' pace; else it is the real one.
	pacedVar = "RELAYSTORE_TEST_PACED"
)

func init() {
	if url := os.Getenv(evaluatorVar); url != "" {
		os.Exit(playEvaluator(url))
	}
}

func playEvaluator(url string) int {
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return 2
	}
	pc.ConnConfig.Tracer = stopper(os.Getenv(stopVar))
	pool, err := pgxpool.NewWithConfig(context.Background(), pc)
	if err != nil {
		return 2
	}
	key, err := monitoring.ParseAlertSecret(secret)
	if err != nil {
		return 2
	}
	g := &gauge{value: 11}
	cfg := monitoring.AlertsConfig{
		Primary: &strategy.Postgres{Pool: pool, OpTimeout: 5 * time.Second}, Secret: key, PrivateWebhooks: true,
		Sources: map[string]monitoring.Source{metric: g.measure},
	}
	if os.Getenv(pacedVar) != "" {
		cfg = cfg.Paced(pace, time.Second, pace, 200)
	}
	fmt.Println(monitoring.NewAlerts(cfg).Self())
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // until it is killed
	return 0
}

// stopper stops at "before QUERY" or "after QUERY", or never.
type stopper string

type query struct{}

func (s stopper) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	s.stop("before", data.SQL)
	return context.WithValue(ctx, query{}, data.SQL)
}

func (s stopper) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	sql, _ := ctx.Value(query{}).(string)
	s.stop("after", sql)
}

func (s stopper) stop(when, sql string) {
	if name, has := strings.CutPrefix(string(s), when+" "); has && strings.HasPrefix(sql, "-- name: "+name+" ") {
		fmt.Println("stopped")
		select {}
	}
}

// evaluator is such a process.
type evaluator struct {
	*testing.T

	self string
	cmd  *exec.Cmd
	out  *bufio.Reader
}

func (b *bundle) evaluator(env ...string) *evaluator {
	b.Helper()
	binary, err := os.Executable()
	require.NoError(b, err)
	e := &evaluator{T: b.T, cmd: exec.Command(binary)}
	e.cmd.Env = append(append(os.Environ(), evaluatorVar+"="+b.url), env...)
	_, err = e.cmd.StdinPipe()
	require.NoError(b, err)
	out, err := e.cmd.StdoutPipe()
	require.NoError(b, err)
	e.out = bufio.NewReader(out)
	require.NoError(b, e.cmd.Start())
	b.Cleanup(e.kill)
	e.self = e.line()
	return e
}

func (e *evaluator) line() string {
	e.Helper()
	line, err := e.out.ReadString('\n')
	require.NoError(e, err)
	return strings.TrimSpace(line)
}

// kill is SIGKILL.
func (e *evaluator) kill() {
	_ = e.cmd.Process.Kill()
	_ = e.cmd.Wait()
}

// holder is who evaluates.
func (b *bundle) holder() (id string) {
	b.Helper()
	require.NoError(b, b.pool.QueryRow(b.Context(), "SELECT holder::text FROM performance_evaluator").Scan(&id))
	return id
}

// The evaluator is killed between a state change and the end of its delivery. Another
// process delivers it: once, unless the receiver had it already, and then under the same
// key.
func TestKilledBetweenChangeAndDelivery(t *testing.T) {
	t.Parallel()
	for at, already := range map[string]int{
		"before AlertDeliveryTake": 0, // committed, and nobody has looked
		"after AlertDeliveryTake":  0, // taken, not committed
		"before AlertDeliveryDone": 1, // arrived, and not noted
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			b, r := setup(t), receive(t)
			b.gauge.set(11)
			b.Close(t.Context())
			b.set(above(0, r.URL))
			child := b.evaluator(stopVar+"="+at, pacedVar+"=1")
			require.Equal(t, "stopped", child.line())
			b.becomes(monitoring.AlertFiring)
			require.Len(t, r.requests(), already)
			child.kill()
			b.watch()
			b.eventually(func() bool { return b.only().Waiting == 0 })
			require.Len(t, r.keys(), 1)
			require.Len(t, r.requests(), already+1)
			b.eventually(func() bool { return b.holder() != child.self })
			require.Equal(t, monitoring.AlertFiring, b.only().State)
			require.Len(t, r.keys(), 1)
		})
	}
}

// The evaluator dies, at the real pace; the process beside it takes over, and a breach
// that the first one saw begin goes on for the second.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.gauge.set(11)
	b.Close(t.Context())
	b.set(above(time.Hour, ""))
	child := b.evaluator()
	b.becomes(monitoring.AlertPending)
	b.eventually(func() bool { return b.holder() == child.self })
	second := b.watch(func(c *monitoring.AlertsConfig) { *c = c.Paced(0, 0, 0, 0) })
	since := b.only().Since
	rounds := b.rounds()
	b.eventually(func() bool { return b.rounds().After(rounds.Add(2 * time.Second)) })
	require.Equal(t, child.self, b.holder(), "one at a time")
	child.kill()
	killed := time.Now()
	b.eventually(func() bool { return b.holder() == second.Self() })
	t.Log("taken over after", time.Since(killed))
	require.Equal(t, since, b.only().Since)
	b.age("2 hours")
	b.becomes(monitoring.AlertFiring)
}

// Nobody evaluated for longer than evaluatorGap: whether the breach lasted is not known.
func TestDurationsBeginAnewAfterAGap(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.gauge.set(11)
	b.set(above(time.Hour, ""))
	b.becomes(monitoring.AlertPending)
	b.Close(t.Context())
	b.age("2 hours")
	_, err := b.pool.Exec(t.Context(), "UPDATE performance_evaluator SET evaluated_at = evaluated_at - interval '31 seconds'")
	require.NoError(t, err)
	before := b.only().Since
	b.watch()
	b.eventually(func() bool { return b.only().Since.After(before.Add(time.Hour)) })
	require.Equal(t, monitoring.AlertPending, b.only().State)
}

// A process that does not measure an alert's metric does not keep the lease from one
// that does.
func TestAProcessThatCannotMeasure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.set(above(time.Hour, ""))
	b.Close(t.Context())
	blind := b.watch(func(c *monitoring.AlertsConfig) { c.Sources = nil })
	b.eventually(func() bool { return b.holder() == blind.Self() })
	b.gauge.set(11)
	second := b.watch()
	b.eventually(func() bool { return b.holder() == second.Self() })
	b.becomes(monitoring.AlertPending)
	since := b.only().Since
	b.evaluated()
	require.Equal(t, []any{second.Self(), since}, []any{b.holder(), b.only().Since})
}

// A figure whose server hangs does not hide the others.
func TestASourceThatHangs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Close(t.Context())
	b.watch(func(c *monitoring.AlertsConfig) {
		*c = c.Paced(0, 0, 0, 0)
		c.Sources = map[string]monitoring.Source{metric: b.gauge.measure, "redis.latency": func(ctx context.Context, _ string, _ time.Duration) (float64, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}}
	})
	b.gauge.set(11)
	_, err := b.pool.Exec(t.Context(), `INSERT INTO performance_alerts (id, metric, operator, threshold, duration_ms, webhook)
		VALUES (gen_random_uuid(), 'redis.latency', '>', 0, 0, ''), (gen_random_uuid(), $1, '>', 10, 0, '')`, metric)
	require.NoError(t, err)
	b.eventually(func() bool {
		list, err := b.ListPerformanceAlerts(t.Context()).Get()
		require.NoError(t, err)
		require.Len(t, list.Alerts, 2)
		return list.Alerts[0].State == monitoring.AlertFiring || list.Alerts[1].State == monitoring.AlertFiring
	})
}
