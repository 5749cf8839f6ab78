package monitoring_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/monitoring"
	"github.com/seed14a526e0/relaystore/strategy"
)

const (
	// patience is how long a condition may take to come true.
	patience = time.Minute
	// pace is that of the tests' evaluators.
	pace = 20 * time.Millisecond
	// metric is one that the tests give figures.
	metric = "redis.memory.used"
	secret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// gauge is a figure that a test sets.
type gauge struct {
	mu      sync.Mutex
	value   float64
	unknown bool
}

func (g *gauge) set(value float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.value, g.unknown = value, false
}

func (g *gauge) lose() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unknown = true
}

func (g *gauge) measure(context.Context, string, time.Duration) (float64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.unknown {
		return 0, errors.New("unknown")
	}
	return g.value, nil
}

// request is one that a receiver got.
type request struct {
	key    string
	header http.Header
	body   string
	event  map[string]any
}

// receiver is a real HTTP server that webhooks lead to.
type receiver struct {
	*httptest.Server

	mu     sync.Mutex
	got    []request
	answer func(w http.ResponseWriter, r *http.Request)
}

func receive(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		one := request{key: req.Header.Get("Idempotency-Key"), header: req.Header, body: string(body)}
		_ = json.Unmarshal(body, &one.event)
		r.mu.Lock()
		r.got = append(r.got, one)
		answer := r.answer
		r.mu.Unlock()
		if answer != nil {
			answer(w, req)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answers(f func(http.ResponseWriter, *http.Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

func (r *receiver) requests() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]request(nil), r.got...)
}

// keys are the different Idempotency-Keys, in the order of their first requests.
func (r *receiver) keys() (keys []string) {
	seen := make(map[string]bool)
	for _, one := range r.requests() {
		if !seen[one.key] {
			seen[one.key], keys = true, append(keys, one.key)
		}
	}
	return keys
}

func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

type safeLog struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *safeLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.String()
}

// bundle is a database with one process that watches it.
type bundle struct {
	*testing.T

	url   string
	pool  *pgxpool.Pool
	gauge *gauge
	log   *safeLog
	*monitoring.Alerts
}

func setup(t *testing.T, tune ...func(*monitoring.AlertsConfig)) *bundle {
	t.Helper()
	url := testdb.URL(t)
	b := &bundle{T: t, url: url, pool: testdb.Pool(t, url), gauge: &gauge{}, log: &safeLog{}}
	b.Alerts = b.watch(tune...)
	return b
}

func (b *bundle) config() monitoring.AlertsConfig {
	b.Helper()
	key, err := monitoring.ParseAlertSecret(secret)
	require.NoError(b, err)
	return monitoring.AlertsConfig{
		Primary: &strategy.Postgres{Pool: b.pool, OpTimeout: 5 * time.Second}, Secret: key, PrivateWebhooks: true,
		Sources: map[string]monitoring.Source{metric: b.gauge.measure}, Logger: slog.New(slog.NewTextHandler(b.log, nil)),
	}.Paced(pace, time.Second, pace, 200)
}

// watch begins one more process.
func (b *bundle) watch(tune ...func(*monitoring.AlertsConfig)) *monitoring.Alerts {
	b.Helper()
	cfg := b.config()
	for _, f := range tune {
		f(&cfg)
	}
	a := monitoring.NewAlerts(cfg)
	b.Cleanup(func() { a.Close(context.Background()) })
	return a
}

func (b *bundle) set(c monitoring.AlertConfig) {
	b.Helper()
	require.NoError(b, b.SetPerformanceAlert(b.Context(), c).Err())
}

// only gives the one alert.
func (b *bundle) only() monitoring.Alert {
	b.Helper()
	list, err := b.ListPerformanceAlerts(b.Context()).Get()
	require.NoError(b, err)
	require.Len(b, list.Alerts, 1)
	return list.Alerts[0]
}

func (b *bundle) becomes(state monitoring.AlertState) {
	b.Helper()
	b.eventually(func() bool { return b.only().State == state })
}

func (b *bundle) eventually(condition func() bool) {
	b.Helper()
	require.Eventually(b, condition, patience, time.Millisecond)
}

// age makes what an alert's state waits for pass.
func (b *bundle) age(by string) {
	b.Helper()
	_, err := b.pool.Exec(b.Context(), "UPDATE performance_alerts SET since = since - $1::text::interval", by)
	require.NoError(b, err)
}

// failure gives what the last attempt of the one delivery came to.
func (b *bundle) failure() (failure, outcome string) {
	b.Helper()
	require.NoError(b, b.pool.QueryRow(b.Context(), "SELECT coalesce(max(last_failure), ''), coalesce(max(outcome), '') FROM performance_alert_deliveries").Scan(&failure, &outcome))
	return failure, outcome
}

// above is an alert that fires while the gauge is above 10.
func above(duration time.Duration, webhook string) monitoring.AlertConfig {
	return monitoring.AlertConfig{Metric: metric, Threshold: 10, Operator: monitoring.Above, Duration: duration, Webhook: webhook}
}
