package monitoring_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/monitoring"
)

func publicOnly(c *monitoring.AlertsConfig) { c.PrivateWebhooks = false }

// A name is no way around: the address that it has when it is dialled decides. The
// machine's own name resolves to one that is not public.
func TestPrivateAddressesAreRefusedWhenDialled(t *testing.T) {
	t.Parallel()
	b, r := setup(t, publicOnly), receive(t)
	b.set(above(0, strings.Replace(r.URL, "127.0.0.1", "localhost", 1)))
	b.gauge.set(11)
	b.eventually(func() bool { failure, _ := b.failure(); return failure == "address not allowed" })
	require.Empty(t, r.requests())
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	b, r, elsewhere := setup(t), receive(t), receive(t)
	r.answers(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	b.set(above(0, r.URL))
	b.gauge.set(11)
	b.eventually(func() bool { failure, _ := b.failure(); return failure == "status 307" })
	require.Empty(t, elsewhere.requests())
}

// One receiver that takes requests and never answers holds up neither the evaluation
// nor its lease.
func TestAReceiverThatHangs(t *testing.T) {
	t.Parallel()
	b, r := setup(t), receive(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	r.answers(func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-release:
		case <-req.Context().Done():
		}
	})
	b.set(above(0, r.URL))
	b.gauge.set(11)
	b.eventually(func() bool { return len(r.requests()) > 0 })
	b.gauge.set(10)
	b.becomes(monitoring.AlertOK)
	b.eventually(func() bool { failure, _ := b.failure(); return failure == "timeout" })
}

// The secret is nowhere but in the process, nor is the URL in an error or a log.
func TestSecrecy(t *testing.T) {
	t.Parallel()
	b, r := setup(t, func(c *monitoring.AlertsConfig) { *c = c.Paced(pace, time.Second, pace, 2) }), receive(t)
	r.answers(status(http.StatusTeapot))
	b.set(above(0, r.URL))
	b.gauge.set(11)
	b.eventually(func() bool { return b.only().Failed == 1 })
	var rows string
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT coalesce(string_agg(t, ' '), '') FROM (
		SELECT a::text FROM performance_alerts a UNION ALL SELECT d::text FROM performance_alert_deliveries d UNION ALL SELECT e::text FROM performance_evaluator e) x(t)`).Scan(&rows))
	require.Contains(t, rows, "status 418")
	_, err := monitoring.ParseAlertSecret("hunter2")
	require.Error(t, err)
	refused := b.SetPerformanceAlert(t.Context(), above(0, "http://user:hunter2@example.com/hunter2")).Err()
	require.Error(t, refused)
	for _, text := range []string{rows, b.log.text(), err.Error(), refused.Error(), b.SetPerformanceAlert(t.Context(), above(0, "ftp://hunter2")).Err().Error()} {
		require.NotContains(t, text, secret)
		require.NotContains(t, text, "hunter2")
	}
	require.NotContains(t, b.log.text(), r.URL)
}
