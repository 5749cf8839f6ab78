package monitoring_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/repo/monitoring"
)

// A breach that ends before its duration is no alert; one that lasts is, once, and its
// end is told once.
func TestBreachesAndTheirDuration(t *testing.T) {
	t.Parallel()
	b, r := setup(t), receive(t)
	b.set(above(time.Hour, r.URL+"/hook"))
	for range 2 {
		b.gauge.set(11)
		b.becomes(monitoring.AlertPending)
		b.age("59 minutes")
		b.evaluated()
		require.Equal(t, monitoring.AlertPending, b.only().State)
		b.gauge.set(10)
		b.becomes(monitoring.AlertOK)
	}
	b.gauge.set(11)
	b.becomes(monitoring.AlertPending)
	b.age("61 minutes")
	b.becomes(monitoring.AlertFiring)
	b.eventually(func() bool { return len(r.requests()) == 1 })
	b.gauge.set(12) // still the same breach
	b.eventually(func() bool { return b.only().Waiting == 0 })
	b.gauge.set(10)
	b.becomes(monitoring.AlertOK)
	b.eventually(func() bool { return len(r.requests()) == 2 && b.only().Waiting == 0 })

	got := r.requests()
	require.Len(t, r.keys(), 2)
	for i, want := range []map[string]any{{"state": "firing", "value": 11.}, {"state": "ok", "value": 10.}} {
		want["alertId"], want["metric"], want["operator"], want["threshold"], want["duration"] = b.only().ID, metric, ">", 10., 3600.
		want["at"] = got[i].event["at"]
		require.Equal(t, want, got[i].event)
		_, err := time.Parse("2006-01-02T15:04:05.000Z", got[i].event["at"].(string))
		require.NoError(t, err)
	}
}

// The real clock, in a short duration.
func TestADurationPasses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.set(above(200*time.Millisecond, ""))
	b.gauge.set(11)
	b.becomes(monitoring.AlertPending)
	pending := b.only().Since
	b.becomes(monitoring.AlertFiring)
	require.GreaterOrEqual(t, b.only().Since.Sub(pending), 200*time.Millisecond)
	_, outcome := b.failure()
	require.Empty(t, outcome, "nobody hears of an alert without a webhook")
}

func TestSignature(t *testing.T) {
	t.Parallel()
	b, r := setup(t), receive(t)
	b.set(above(0, r.URL))
	b.gauge.set(11)
	b.eventually(func() bool { return len(r.requests()) == 1 })
	got := r.requests()[0]
	key, err := base64.StdEncoding.DecodeString(secret)
	require.NoError(t, err)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", got.key, got.header.Get("Webhook-Timestamp"), got.body)
	require.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), got.header.Get("Webhook-Signature"))
	require.Equal(t, got.key, got.header.Get("Webhook-Id"))
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
	at, err := strconv.ParseInt(got.header.Get("Webhook-Timestamp"), 10, 64)
	require.NoError(t, err)
	require.Less(t, time.Since(time.Unix(at, 0)), time.Hour)
}

// A receiver that is down, by any way of being so, gets each change when it is up again,
// in their order and under the same keys.
func TestReceiverDownThenUp(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]func(*receiver, *faultproxy.Proxy){
		"error":      func(r *receiver, _ *faultproxy.Proxy) { r.answers(status(http.StatusServiceUnavailable)) },
		"unanswered": func(_ *receiver, p *faultproxy.Proxy) { p.Cut() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, r := setup(t), receive(t)
			proxy, err := faultproxy.Start("tcp", r.Listener.Addr().String())
			require.NoError(t, err)
			t.Cleanup(proxy.Close)
			down(r, proxy)
			b.set(above(0, "http://"+proxy.Addr()))
			for _, value := range []float64{11, 10, 11} {
				b.gauge.set(value)
				b.becomes(map[bool]monitoring.AlertState{true: monitoring.AlertFiring, false: monitoring.AlertOK}[value > 10])
			}
			b.eventually(func() bool { failure, _ := b.failure(); return failure != "" })
			require.EqualValues(t, 3, b.only().Waiting)
			tried := r.requests()
			r.answers(nil)
			proxy.Pass()
			b.eventually(func() bool { return b.only().Waiting == 0 })
			require.Zero(t, b.only().Failed)
			arrived := r.requests()[len(tried):]
			require.Len(t, arrived, 3)
			require.Len(t, r.keys(), 3)
			for i, state := range []string{"firing", "ok", "firing"} {
				require.Equal(t, state, arrived[i].event["state"])
			}
			for _, one := range tried {
				require.Equal(t, arrived[0].key, one.key)
				require.Equal(t, arrived[0].body, one.body)
			}
		})
	}
}

// After its attempts, a delivery is given up, listed and logged, without its URL.
func TestAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	const attempts = 3
	b, r := setup(t, func(c *monitoring.AlertsConfig) { *c = c.Paced(pace, time.Second, pace, attempts) }), receive(t)
	r.answers(status(http.StatusInternalServerError))
	b.set(above(0, r.URL+"/hidden-path"))
	b.gauge.set(11)
	b.eventually(func() bool { return b.only().Failed == 1 })
	require.Len(t, r.requests(), attempts)
	require.Zero(t, b.only().Waiting)
	failure, outcome := b.failure()
	require.Equal(t, []string{"status 500", "failed"}, []string{failure, outcome})
	b.eventually(func() bool { return b.log.text() != "" })
	require.Contains(t, b.log.text(), "status 500")
	require.NotContains(t, b.log.text(), "hidden-path")
}

// An alert that flaps while its receiver is down keeps the newest of its changes.
func TestWaitingDeliveriesAreBounded(t *testing.T) {
	t.Parallel()
	b, r := setup(t), receive(t)
	r.answers(status(http.StatusServiceUnavailable))
	b.set(above(0, r.URL))
	for i := range 23 {
		value := 11 - i%2
		b.gauge.set(float64(value))
		b.becomes(map[bool]monitoring.AlertState{true: monitoring.AlertFiring, false: monitoring.AlertOK}[value > 10])
	}
	b.eventually(func() bool { return b.only().Failed == 3 })
	require.EqualValues(t, 20, b.only().Waiting)
}

// A figure that nobody knows neither ends a firing nor holds for a duration.
func TestUnknownFigures(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.set(above(time.Hour, ""))
	b.gauge.set(11)
	b.becomes(monitoring.AlertPending)
	b.gauge.lose()
	b.becomes(monitoring.AlertOK)
	b.gauge.set(11)
	b.becomes(monitoring.AlertPending)
	b.age("2 hours")
	b.becomes(monitoring.AlertFiring)
	since := b.only().Since
	b.gauge.lose()
	b.evaluated()
	require.Equal(t, since, b.only().Since)
}

// evaluated waits for some more rounds.
func (b *bundle) evaluated() {
	b.Helper()
	rounds := b.rounds()
	b.eventually(func() bool { return b.rounds().After(rounds.Add(10 * pace)) })
}

// rounds is when the last round began.
func (b *bundle) rounds() (at time.Time) {
	b.Helper()
	require.NoError(b, b.pool.QueryRow(b.Context(), "SELECT evaluated_at FROM performance_evaluator").Scan(&at))
	return at
}
